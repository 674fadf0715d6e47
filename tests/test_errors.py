"""Errors of a user come in one line that says what to do."""

import pytest

from benchmark.errors import UserError, one_line, unknown

NAMES = ["enet", "espnet", "espnet-c", "pspnet_r50-d8"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ennet", "did you mean enet"),
        ("ESPNET", "did you mean espnet or espnet-c?"),
        ("r50", "did you mean pspnet_r50-d8?"),
        ("zzz", "see `segbench list architectures`"),
        ("", "see `segbench list architectures`"),
    ],
)
def test_near_names(name, hint):
    error = unknown("architecture", name, NAMES)
    assert str(error).startswith(f"unknown architecture {name!r}: {hint}")


def test_an_error_of_a_worker_is_its_last_line():
    traceback = (
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    )
    assert str(UserError(f"{traceback}benchmark.errors.UserError: a.png: is no image\n")) == "a.png: is no image"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "first"),
        (KeyError("name"), "name"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("x" * 300), "x" * 197 + "..."),
    ],
)
def test_one_line(error, line):
    assert one_line(error) == line
