"""Training in two stages: an encoder learns alone, then it goes on with a decoder that has learned nothing yet."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine import Config
from torch import Tensor


def first(config: Config) -> Config:
    """The first stage of a composed config that has one, as complete as the config itself.

    Its network, batches and schedule are its own; dataset, evaluation and seed are those of the second.
    """
    stage = copy.deepcopy(config)
    changes = stage.pop("first_stage")
    changes.pop("handed_on")
    for name, value in changes.items():
        stage[name] = value
    return stage


def handed_on(state: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """What the second stage goes on with, by its names.

    Args:
        state: weights of the first stage.
        modules: those that go on, by their names in the first stage, and what they are called in the second. Names
            that happen to be the same are no proof: ENet's two classifiers share theirs, and their biases a shape.
    """
    return {
        f"{there}{name.removeprefix(here)}": value
        for name, value in state.items()
        for here, there in modules.items()
        if name.startswith(f"{here}.")
    }
