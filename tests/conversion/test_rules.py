"""Maps of names that users write."""

import pytest
import torch

from benchmark.conversion.rules import read, rename
from benchmark.errors import UserError


@pytest.fixture
def rules(tmp_path):
    def write(text):
        path = tmp_path / "map.txt"
        path.write_text(text)
        return read(path)

    return write


def state(*names):
    return {name: torch.zeros(index) for index, name in enumerate(names)}


def test_all_rules_are_applied_in_order(rules):
    found = rules(
        "# a comment\n\n ^level3\\.(\\d+)\\. -> backbone.level2.{\\1+1}.\nbn -> norm\n\\.act\\. -> .activate.\n"
    )
    given = state("level3.0.bn.weight", "level3.10.act.weight", "other")
    renamed, left_out, unused = rename(given, found)
    assert list(renamed) == ["backbone.level2.1.norm.weight", "backbone.level2.11.activate.weight", "other"]
    assert list(renamed.values()) == list(given.values())
    assert (left_out, unused) == ([], [])


def test_a_name_that_becomes_empty_is_left_out(rules):
    renamed, left_out, unused = rename(state("aux.weight", "net.weight"), rules("^aux\\..* ->\n^net\\. -> \nx -> y"))
    assert (list(renamed), left_out) == (["weight"], ["aux.weight"])
    assert [rule.pattern.pattern for rule in unused] == ["x"]


def test_numbers_go_down_and_named_groups_are_known(rules):
    renamed, *_ = rename(state("layer4.x"), rules("layer(?P<i>\\d) -> stage{\\1-1}.\\g<i>"))
    assert list(renamed) == ["stage3.4.x"]


def test_two_tensors_of_one_name(rules):
    with pytest.raises(UserError, match="the map gives a1 and a2 the same name, a"):
        rename(state("a1", "a2"), rules("\\d ->"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no rule"),
        ("# nothing\n", "has no rule"),
        ("a -> b\nc = d", r"map.txt:2: 'c = d' is no rule: write PATTERN -> REPLACEMENT"),
        ("-> b", r"map.txt:1: '-> b' is no rule"),
        ("a( -> b", r"map.txt:1: 'a\(' is no regular expression: "),
    ],
)
def test_what_is_no_map(rules, text, why):
    with pytest.raises(UserError, match=why) as caught:
        rules(text)
    assert "\n" not in str(caught.value)


def test_a_group_that_is_not_there(rules):
    with pytest.raises(UserError, match=r"map.txt:1: .* is no replacement: invalid group reference"):
        rename(state("a"), rules("a -> \\1"))


def test_a_map_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the map .*: No such file"):
        read(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not a text file"):
        read(tmp_path / "binary")
