"""Find the rule by which the name of an image gives that of its label, from the names of all files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from benchmark.datasets.card import Pairing
from benchmark.errors import UserError

SAMPLES = 24
"""How many images, spread over all, are compared with all labels of their folder."""

CANDIDATES = 12
"""How many rules, those of the most samples, are applied to all images."""

SAME = Pairing()


def named(files: Collection[str], pattern: str) -> dict[str, str]:
    """Return the files that a pattern fits: by the name that it gives, the path without suffix."""
    before, after = pattern.split("{name}")
    found = {}
    for file in files:
        path = PurePosixPath(file)
        stem = path.name
        if stem.startswith(before) and stem.endswith(after) and len(stem) > len(before) + len(after):
            found[path.with_name(stem[len(before) : len(stem) - len(after)]).as_posix()] = file
    return found


def find(images: Collection[str], labels: Collection[str], one_folder: bool = False) -> Pairing:
    """Find the rule that gives the most images a label; where several do, the shortest.

    Args:
        images, labels: paths of files below their folder, without suffix.
        one_folder: both are the same files, so that an image is not its own label.

    Raises:
        UserError: no rule gives any image a label, or several kinds of labels fit equally well.
    """
    votes = Counter[Pairing]()
    by_folder = defaultdict[str, list[str]](list)
    for label in labels:
        folder, _, stem = label.rpartition("/")
        by_folder[folder].append(stem)
    ordered = sorted(images)
    for image in ordered[:: max(1, len(ordered) // SAMPLES)]:
        folder, _, stem = image.rpartition("/")
        votes.update({rule for label in by_folder[folder] for rule in _rules(stem, label)})
    if one_folder:  # where numbers tell images apart, and not labels from images
        votes = Counter({rule: number for rule, number in votes.items() if _has_letter(rule)})
    counts = {rule: len(_pairs(images, labels, rule)) for rule, _ in votes.most_common(CANDIDATES)}
    if not one_folder:
        counts[SAME] = len(_pairs(images, labels, SAME))
    best = max(counts.values(), default=0)
    if best == 0 and one_folder:
        raise UserError(
            "images and labels are in one folder, and no file in it is named as the label of another: give the "
            "labels a folder of their own, or say with --image-name and --label-name how names differ"
        )
    if best == 0:
        first, other = min(images), min(labels)
        raise UserError(
            f"no label has the name of an image: the first image is {first}, the first label {other}; say how their "
            "names are made with --image-name and --label-name, for example --label-name '{name}_mask'"
        )
    rules = sorted((rule for rule, count in counts.items() if count == best), key=_length)
    kinds = {rule.label for rule in rules if rule.image == rules[0].image}
    if rules[0] != SAME and len(kinds) > 1:
        raise UserError(
            f"every image has {len(kinds)} labels, {' and '.join(sorted(kinds))}: choose one with --label-name"
        )
    return rules[0]


def given(image: str | None, label: str | None) -> Pairing:
    """Return the rule that the user gave.

    Raises:
        UserError: a pattern does not have `{name}` once.
    """
    for option, pattern in (("--image-name", image), ("--label-name", label)):
        if pattern is not None and (pattern.count("{name}") != 1 or set("/{}") & set(pattern.replace("{name}", ""))):
            raise UserError(f"{option} {pattern!r}: the name of a file without folder and suffix, with {{name}} in it")
    return Pairing(image=image or "{name}", label=label or "{name}")


def duplicates(files: Mapping[str, Sequence[Path]]) -> list[str]:
    """Return the names that several files have, with the suffixes of these."""
    return [f"{name} ({', '.join(path.suffix for path in paths)})" for name, paths in files.items() if len(paths) > 1]


def _pairs(images: Collection[str], labels: Collection[str], rule: Pairing) -> set[str]:
    return named(images, rule.image).keys() & named(labels, rule.label).keys()


def _rules(image: str, label: str) -> Iterator[Pairing]:
    """Yield the rules that make a label of an image: what they share is the name."""
    start = _start(image, label)
    end = _start(image[::-1], label[::-1])[::-1]
    if image in label:
        before, after = label.split(image, 1)
        found = [("", "", before, after)]
    elif label in image:
        before, after = image.split(label, 1)
        found = [(before, after, "", "")]
    else:
        found = [("", image[len(start) :], "", label[len(start) :])] if start else []
        found += [(image[: -len(end)], "", label[: -len(end)], "")] if end else []
    for affixes in found:
        if not set("{}") & set("".join(affixes)):
            yield Pairing(image="{name}".join(affixes[:2]), label="{name}".join(affixes[2:]))


def _start(one: str, other: str) -> str:
    """Return what two names begin with, without a part that they only begin alike: "a" of "a_left" and "a_labels"."""
    length = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return re.sub("[_. -][^_. -]*$", "", one[:length])


def _has_letter(rule: Pairing) -> bool:
    return bool(re.search(r"[^\W\d_]", (rule.image + rule.label).replace("{name}", "")))


def _length(rule: Pairing) -> tuple[bool, int, str, str]:
    return rule != SAME, len(rule.image) + len(rule.label), rule.image, rule.label
