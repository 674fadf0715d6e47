"""Two-stage training: an encoder is trained alone, then with a new decoder."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine import Config
from torch import Tensor


def first(config: Config) -> Config:
    """Return the complete config of the first stage of a composed config with two stages.

    Network, batches and schedule are those of the first stage; dataset, evaluation and seed those of the second.
    """
    stage = copy.deepcopy(config)
    changes = stage.pop("first_stage")
    changes.pop("handed_on")
    for name, value in changes.items():
        stage[name] = value
    return stage


def transferred_modules(state: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the initial weights of the second stage, by its names.

    Args:
        state: weights of the first stage.
        modules: names of the transferred modules in the second stage, by their names in the first. Equal names are
            not sufficient: the two classifiers of ENet share theirs, and their biases have the same shape.
    """
    return {
        f"{there}{name.removeprefix(here)}": value
        for name, value in state.items()
        for here, there in modules.items()
        if name.startswith(f"{here}.")
    }
