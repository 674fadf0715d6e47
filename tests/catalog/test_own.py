"""Names of networks that the suite does not have."""

import re

import pytest

from benchmark.catalog import catalog, own
from benchmark.errors import UserError, unknown


@pytest.mark.parametrize(
    ("name", "base", "arguments"),
    [
        ("net.py:Net", "net.py:Net", {}),
        ("net.py:Net(width=8, depth=(1, 2))", "net.py:Net", {"width": 8, "depth": (1, 2)}),
        ("/a (copy)/net.py:Net", "/a (copy)/net.py:Net", {}),
        ("/a (copy)/net.py:Net(a={'b': ':('})", "/a (copy)/net.py:Net", {"a": {"b": ":("}}),
        ("C:\\a\\net.py:Net(a=-1.5)", "C:\\a\\net.py:Net", {"a": -1.5}),
        ("smp:Unet/mit_b0(a=None)", "smp:Unet/mit_b0", {"a": None}),
        ("mynet(a='x')", "mynet", {"a": "x"}),
        ("enet", "enet", {}),
    ],
)
def test_arguments(name, base, arguments):
    assert own.split(name) == (base, arguments)
    if arguments:
        assert own.split(f"{base}({own.text(arguments)})") == (base, arguments)


@pytest.mark.parametrize(
    "text", ["3", "a", "a=open('x')", "**{'a': 1}", "a=b", "a={1, 2}", "a=1, a=2", "a=float('nan')"]
)
def test_what_are_no_arguments(text):
    with pytest.raises(UserError, match="arguments are NAME=VALUE"):
        own.split(f"net.py:Net({text})")


@pytest.mark.parametrize("word", ["encoder_weights=imagenet", "pretrained=True", "weights='DEFAULT'"])
def test_initial_weights_are_no_arguments(word):
    with pytest.raises(UserError, match="networks start from random weights"):
        own.with_arguments("net.py:Net", [word])


def test_words_need_no_quotes():
    assert own.with_arguments("net.py:Net", ["a=x/y", "b=2", "c=[1]"]) == "net.py:Net(a='x/y', b=2, c=[1])"
    with pytest.raises(UserError, match="a is given twice"):
        own.with_arguments("net.py:Net(a=1)", ["a=2"])


def test_titles_hold_what_results_may(tmp_path):
    (tmp_path / "net.py").write_text("")
    entry = catalog.architecture(f"{tmp_path}/net.py:Net(a='x/y|<z>')")
    assert entry.name == "net.py:Net(a='x_y__z_')"
    assert entry.full_name == "net.py:Net(a='x/y|<z>')"
    assert len(catalog.architecture(f"{tmp_path}/net.py:Net(a='{'x' * 500}')").name) < 200


def test_code_that_is_no_config(tmp_path):
    (tmp_path / "net.py").write_text("class Net: pass\n")
    with pytest.raises(UserError, match=r"does not define `model = dict\(...\)`: for a class write \S+/net.py:NAME"):
        catalog.architecture(f"{tmp_path}/net.py")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/net.py:", "a/net.py:: name a class or function of it, a/net.py:NAME"),
        ("a/net.py:Net(width=8", "a/net.py:Net(width=8: its arguments end with `)`: quote the name for the shell"),
    ],
)
def test_an_unfinished_name(name, said):
    with pytest.raises(UserError, match=re.escape(said)):
        catalog.architecture(name)


def test_a_name_is_suggested_once():
    with pytest.raises(UserError, match=r"did you mean unet\?"):
        raise unknown("name", "unett", ["unet", "unet"])
