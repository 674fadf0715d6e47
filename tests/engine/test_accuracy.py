"""The heads do without their accuracy for a while, all that have one."""

import sys

import benchmark.registration  # noqa: F401
from benchmark.engine import accuracy


def _users(function):
    """Modules of heads that call it by that name."""
    names = {name for name, module in sys.modules.items() if getattr(module, "accuracy", None) is function}
    return {name for name in names if name.startswith("mmseg.models.decode_heads.")}


def test_the_accuracy_is_left_out_for_a_while():
    from mmseg.models.losses import accuracy as theirs

    assert _users(theirs) == {head.__name__ for head in accuracy.HEADS}
    with accuracy.unread():
        assert not _users(theirs)
    assert _users(theirs) == {head.__name__ for head in accuracy.HEADS}
