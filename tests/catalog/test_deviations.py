"""An entry of `deviations` in a metafile, and one line for each mistake in one."""

import pytest

from benchmark.catalog.deviations import parse
from benchmark.errors import UserError

ENTRY = {"ours": "a", "paper": "b\n", "source": "arXiv 1, section 2", "origin": "mmsegmentation"}


def read(entry):
    return parse(entry, ["net", "net-b"], "paper/metafile.yaml: deviation 1")


def test_an_entry_is_of_all_architectures_unless_it_names_some():
    found = read(ENTRY)
    assert found.architectures == ("net", "net-b")
    assert found.text == "a; the authors: b (arXiv 1, section 2). Origin: mmsegmentation."
    assert read(ENTRY | {"architectures": ["net"]}).architectures == ("net",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ours": ""}, "ours is '', not a text"),
        ({"origin": "nobody"}, "origin is 'nobody', not one of mmsegmentation, protocol, this suite"),
        ({"architectures": []}, "architectures is [], not a list of net, net-b"),
        ({"architectures": ["other"]}, "not a list of net, net-b"),
        ({"architectures": "net"}, "not a list of net, net-b"),
        ({"architectures": [["net"]]}, "not a list of net, net-b"),
        ({"more": 1}, "more is not a field"),
        ({"paper": "a"}, "ours and paper are equal"),
    ],
)
def test_a_mistake_gets_one_line(change, message):
    with pytest.raises(UserError) as caught:
        read(ENTRY | change)
    assert str(caught.value).startswith("paper/metafile.yaml: deviation 1")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ENTRY)
def test_a_missing_field(missing):
    with pytest.raises(UserError, match=f"{missing} is missing"):
        read({name: value for name, value in ENTRY.items() if name != missing})


def test_what_is_no_mapping():
    with pytest.raises(UserError, match="is not a mapping"):
        read("text")
