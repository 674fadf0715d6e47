"""Convert releases of the ESPNet authors, github.com/sacmehta/ESPNet, `pretrained/`; pairs are (their name, ours).

`encoder/` holds ESPNet-C, `decoder/` the full ESPNet, whose encoder has the same names below `encoder.`. The depth of
the levels and the version of the two published decoders, which a release does not state, follow from its tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmark.conversion.converted import Converted

CONV3 = {"conv": "conv", "bn": "norm", "act": "act"}
NORM_ACT = {"bn": "norm", "act": "act"}
REDUCE_SPLIT = {
    "c1.conv": "reduce",
    "d1.conv": "transform.0",
    "d2.conv": "transform.1",
    "d4.conv": "transform.2",
    "d8.conv": "transform.3",
    "d16.conv": "transform.4",
}
STRIDED_ESP = {**REDUCE_SPLIT, "bn": "norm", "act": "act"}
ESP = {**REDUCE_SPLIT, "bn.bn": "norm", "bn.act": "act"}
ITSELF = {"": ""}

ENCODER = {
    "level1": ("level1", CONV3),
    "b1": ("concat1", NORM_ACT),
    "level2_0": ("level2_strided", STRIDED_ESP),
    "b2": ("concat2", NORM_ACT),
    "level3_0": ("level3_strided", STRIDED_ESP),
    "b3": ("concat3", NORM_ACT),
}
DECODER = {
    "encoder.classifier.conv": ("level3", ITSELF),
    "br": ("norm3", ITSELF),
    "up_l3.0": ("deconv3", ITSELF),
    "level3_C.conv": ("level2", ITSELF),
    "combine_l2_l3.0": ("concat2", NORM_ACT),
    "combine_l2_l3.1": ("esp2", ESP),
    "up_l2.0": ("deconv2", ITSELF),
    "up_l2.1": ("norm_act2", NORM_ACT),
    "conv": ("conv1", CONV3),
    "classifier": ("conv_seg", ITSELF),
}
CLASSIFIER = {"classifier.conv": ("conv_seg", ITSELF)}

DEPTHS = {"p": ("level2", 2), "q": ("level3", 8)}
"""The encoder's options for depth: level and default of each."""


def convert(found: Mapping[str, Tensor]) -> Converted | None:
    """Convert the authors' weights to our names.

    Nothing is dropped: a tensor that is not theirs keeps its name. The releases are older than the counter of batches
    that PyTorch 0.4.1 gave batch normalisation; it starts at 0 where they lack it. No score depends on it.

    Args:
        found: tensors by the authors' names.

    Returns:
        Weights of `espnet`, or of `espnet-c` if the file has the encoder only; None where the names are not theirs.
    """
    prefix = next((each for each in ("encoder.", "") if f"{each}level2_0.c1.conv.weight" in found), None)
    if prefix is None:
        return None
    depths = {option: _depth(found, f"{prefix}{level}.") for option, (level, _) in DEPTHS.items()}
    modules = dict(_modules(prefix, depths))

    state = {}
    for name, tensor in found.items():
        module, _, kind = name.rpartition(".")
        state[f"{modules[module]}.{kind}" if module in modules else name] = tensor
    for name in [*state]:
        if name.endswith(".running_var"):
            state.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))

    options: dict[str, Any] = {}
    deeper = {option: depth for option, depth in depths.items() if depth != DEPTHS[option][1]}
    if deeper:
        options["backbone"] = deeper
    skip = found.get("conv.conv.weight")
    if skip is not None and skip.shape[1] - skip.shape[0] == 16:
        options["decode_head"] = {"skip_channels": 16}
    return Converted(state, options)


def _depth(found: Mapping[str, Tensor], level: str) -> int:
    """Count the ESP modules that the names below `level` belong to."""
    return len({name[len(level) :].partition(".")[0] for name in found if name.startswith(level)})


def _modules(prefix: str, depths: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield every module that has tensors: the authors' name and ours."""
    blocks = {f"{prefix}{theirs}": (f"backbone.{ours}", parts) for theirs, (ours, parts) in ENCODER.items()}
    for option, (level, _) in DEPTHS.items():
        for index in range(depths[option]):
            blocks[f"{prefix}{level}.{index}"] = (f"backbone.{level}.{index}", ESP)
    for theirs, (ours, parts) in (DECODER if prefix else CLASSIFIER).items():
        blocks[theirs] = (f"decode_head.{ours}", parts)
    for theirs, (ours, parts) in blocks.items():
        for part, name in parts.items():
            yield (f"{theirs}.{part}", f"{ours}.{name}") if part else (theirs, ours)
