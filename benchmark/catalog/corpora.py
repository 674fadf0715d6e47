"""Training corpora other than the training split, in canonical spelling.

The vocabulary is open, as any corpus is allowed. The spelling of common corpora is checked, so that figures of equal
training are not treated as trained differently.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

NONE = "none"

FORM = "none or what it was trained on, in order: imagenet, imagenet + coco, imagenet (self-supervised)"

ALIASES = {
    "imagenet": ("imagenet-1k", "imagenet1k", "in1k", "in-1k", "ilsvrc", "ilsvrc2012", "ilsvrc-2012"),
    "imagenet-22k": ("imagenet-21k", "imagenet22k", "imagenet21k", "in22k", "in21k", "in-22k", "in-21k"),
    "coco": ("ms-coco", "mscoco", "coco2017", "coco-2017"),
    "coarse": ("cityscapes-coarse", "coarse-cityscapes"),
    "mapillary": ("mapillary-vistas", "vistas"),
    NONE: ("scratch", "from-scratch", "random"),
}
"""Other names of the same corpus. `coarse` is the coarsely annotated part of Cityscapes."""

CORPORA = (*ALIASES, "cityscapes", "ade20k", "camvid", "voc12", "voc12aug", "jft-300m", "laion-2b")
"""Names whose misspellings are detected."""

UNSTATED = ("unknown", "not-stated", "unstated", "n/a", "na", "null", "?", "-")

SEPARATOR = re.compile(r"\s*(?:[+,;&]|\band\b|\bthen\b)\s*(?![^(]*\))", re.IGNORECASE)

SPELLING = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


def canonical(stated: str | list[str]) -> str:
    """Return the stages of a training in canonical spelling, joined by " + ".

    Args:
        stated: `none`, the name of a corpus, or several in the order of training, as a list or joined by "+", a comma
            or "and". The use of a corpus may follow its name in parentheses: `imagenet (self-supervised)`.

    Raises:
        ValueError: no corpus is named, or one is misspelled; the message contains the correct form.
    """
    text = " + ".join(stated) if isinstance(stated, list) else stated
    stages = [_stage(part) for part in SEPARATOR.split(text)]
    if NONE in stages and len(stages) > 1:
        raise ValueError("none stands alone")
    return " + ".join(stages)


def _stage(text: str) -> str:
    """Return one corpus in canonical spelling, with its use."""
    name, opened, use = text.casefold().partition("(")
    name = "-".join(name.split())
    name = SPELLING.get(name, name)
    if name in UNSTATED:
        raise ValueError("write null if the source does not state it")
    if not re.search("[a-z]", name):
        raise ValueError(f"write {FORM}")
    near = get_close_matches(name, CORPORA, n=1, cutoff=0.85) if name.isalpha() else []
    if near and near != [name]:
        raise ValueError(f"write {near[0]}, if {name} means that")
    how = " ".join(use.rstrip(" )").split())
    return f"{name} ({how})" if opened and name != NONE else name
