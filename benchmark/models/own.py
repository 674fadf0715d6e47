"""A network of the user's as a segmentor: any module from images to scores, and a head that has nothing to learn."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.errors import UserError, one_line

CLASSES = ("num_classes", "classes", "num_labels", "n_classes")
"""Names of the argument that sets the number of outputs, in the order in which they are looked for."""

UNTRAINED = {"weights": None, "weights_backbone": None, "encoder_weights": None, "pretrained": False}
"""Arguments of torchvision, segmentation_models_pytorch and others for initial weights, which would be downloaded: all
networks start from random ones."""

AUXILIARY_WEIGHT = 0.4
"""Weight of each further output in the loss, as of auxiliary heads in PSPNet and mmsegmentation's configs."""


@MODELS.register_module()
class OwnNetwork(nn.Module):
    """A network that a class or function of the user's makes.

    Its forward may return scores (N, classes, h, w) at any stride; a list of them, of which all but the first are
    auxiliary; a dict with `out` and further ones, as torchvision's; or an object with `logits`, as transformers'.

    Args:
        place: dotted name of a module, or path of a Python file.
        factory: name in it.
        num_classes: number of outputs.
        sha256: of the source file; not used, but part of the config, so that an edited network is another one.

    Raises:
        UserError: it cannot be imported, or does not take the number of classes, or makes no module.
    """

    def __init__(self, place: str, factory: str, num_classes: int, sha256: str) -> None:
        super().__init__()
        make = _imported(place, factory)
        network = _called(make, num_classes, f"{place}:{factory}")
        if not isinstance(network, nn.Module):
            raise UserError(f"{place}:{factory} made {type(network).__name__}, which is no nn.Module")
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to scores, the auxiliary ones before the main one."""
        main, *others = _scores(self.network(images))
        return (*others, main)


@MODELS.register_module()
class ScoresHead(BaseDecodeHead):
    """Takes the last of several maps for the scores, and the others for auxiliary ones.

    Args:
        num_classes: number of classes.
        **kwargs: further arguments of mmsegmentation's `BaseDecodeHead`.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        arguments = {"in_channels": num_classes, "channels": num_classes, "dropout_ratio": 0, "init_cfg": None}
        super().__init__(num_classes=num_classes, in_index=-1, **arguments | kwargs)
        self.conv_seg = nn.Identity()

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the scores."""
        return inputs[-1]

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: Any, train_cfg: Any) -> dict[str, Tensor]:
        """Compute the loss of the scores, and of the auxiliary ones by their weight."""
        *others, main = inputs
        losses: dict[str, Tensor] = self.loss_by_feat(main, batch_data_samples)
        for index, each in enumerate(others):
            found = self.loss_by_feat(each, batch_data_samples)
            losses |= {f"aux_{index}.{k}": AUXILIARY_WEIGHT * v for k, v in found.items() if "loss" in k}
        return losses


def _scores(output: Any) -> list[Tensor]:
    """Return the scores that a network returned, the main ones first."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping) and "out" in output:
        rest = [value for name, value in output.items() if name != "out" and _is_map(value)]
        return [output["out"], *rest]
    if isinstance(logits := getattr(output, "logits", None), Tensor):
        return [logits]
    if isinstance(output, list | tuple) and output and all(map(_is_map, output)):
        return list(output)
    raise UserError(
        f"the network returned {type(output).__name__}: a tensor of scores (N, classes, h, w), a list of them, a dict "
        "with `out`, or an object with `logits` is needed"
    )


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _imported(place: str, factory: str) -> Callable[..., Any]:
    module = _module(place)
    if not callable(found := getattr(module, factory, None)):
        public = ", ".join(sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))[:6])
        raise UserError(f"{place} has no class or function {factory}: it has {public or 'none'}")
    return found


def _module(place: str) -> ModuleType:
    """Import a module by its name, or a file once a process; its folder is searched for what it imports."""
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        name = f"{path.stem}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except UserError:
        raise
    except Exception as error:  # of the user's code, of any kind
        raise UserError(f"{place} cannot be imported: {type(error).__name__}: {one_line(error)}") from error


def _called(make: Callable[..., Any], num_classes: int, name: str) -> Any:
    """Call a factory with the number of classes, by whatever name it takes it."""
    try:
        parameters = dict(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        parameters = {}
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    argument = next((each for each in CLASSES if each in parameters), CLASSES[0] if takes_any else None)
    if argument is None:
        raise UserError(f"{name} takes no number of classes: give it an argument {' or '.join(CLASSES[:3])}")
    try:
        return make(**{argument: num_classes}, **{k: v for k, v in UNTRAINED.items() if k in parameters})
    except Exception as error:  # likewise
        raise UserError(f"{name} cannot be made: {type(error).__name__}: {one_line(error)}") from error
