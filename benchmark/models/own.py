"""A network of the user's as a segmentor: any module from images to scores, and a head that has nothing to learn."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from mmengine.model import revert_sync_batchnorm
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, distributed, nn

from benchmark.catalog import own
from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.usercode import Module

CLASSES = ("num_classes", "classes", "num_labels", "n_classes")
"""Names of the argument that sets the number of outputs, in the order in which they are looked for."""

AUXILIARY_WEIGHT = 0.4
"""Weight of each further output in the loss, as of auxiliary heads in PSPNet and mmsegmentation's configs."""

FORMS = "a tensor of scores (N, classes, h, w), a list of them, a dict with `out`, or an object with `logits`"
"""What a network may return."""


@MODELS.register_module()
class OwnNetwork(nn.Module):
    """A network that a class or function of the user's makes.

    Its forward may return scores (N, classes, h, w) at any stride; a list of them, of which all but the first are
    auxiliary; a dict with `out` and further ones, as torchvision's; or an object with `logits`, as transformers'.

    Args:
        title: name of the network in tables.
        module: dotted name of the module.
        path: its file.
        folder: where its modules are looked for first; None where it is installed.
        factory: name in the module.
        num_classes: number of outputs.
        arguments: further ones, as the text of a call: `width=8, depth=(1, 2)`.
        sha256: of the source files; not used, but part of the config, so that an edited network is another one.
        packages: versions of the packages that define it; likewise.

    Raises:
        UserError: it cannot be imported, or does not take the arguments, or makes no module.
    """

    def __init__(
        self,
        title: str,
        module: str,
        path: str,
        folder: str | None,
        factory: str,
        num_classes: int,
        arguments: str,
        sha256: str,
        packages: Mapping[str, str],
    ) -> None:
        super().__init__()
        make = _member(Module(module, Path(path), Path(folder) if folder else None), factory)
        network = _called(make, num_classes, own.parse(arguments, title), title)
        if not isinstance(network, nn.Module):
            raise UserError(f"{title} made {type(network).__name__}, which is not an nn.Module")
        if not distributed.is_initialized():
            network = revert_sync_batchnorm(network)  # equivalent in one process, and a CPU has no SyncBatchNorm
        self.network = network
        self.title, self.classes = title, num_classes

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to scores, the auxiliary ones before the main one.

        Raises:
            UserError: the network returns something else.
        """
        found = scores(self.network(images))
        for each in found:
            if each.shape[1] != self.classes:
                raise UserError(f"{self.title} returned {each.shape[1]} channels of scores for {self.classes} classes")
            if each.shape[0] != images.shape[0]:
                raise UserError(f"{self.title} returned scores of {each.shape[0]} images for {images.shape[0]} images")
            if not each.is_floating_point():
                raise UserError(f"{self.title} returned {each.dtype}, as of labels: floating-point scores are needed")
        main, *others = found
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


def scores(output: Any) -> list[Tensor]:
    """Return the scores that a network returned, each of shape (N, classes, h, w), the main ones first.

    Raises:
        UserError: it returned something else.
    """
    if _is_map(output):
        return [output]
    if isinstance(output, Mapping):
        maps = {name: value for name, value in output.items() if _is_map(value)}
        main = next((name for name in ("out", "logits") if name in maps), None)
        if main is None and len(maps) == 1:
            main = next(iter(maps))
        if main is not None:
            first = maps.pop(main)
            return [first, *(each for each in maps.values() if main == "out" and each.shape[1] == first.shape[1])]
    elif isinstance(output, list | tuple):
        maps_ = [each for each in output if each is not None]
        if maps_ and all(map(_is_map, maps_)):
            return maps_
    else:
        for name in ("logits", "out"):
            if _is_map(value := getattr(output, name, None)):
                return [value]
    raise UserError(f"the network returned {_described(output)}: {FORMS} is needed")


def _described(output: Any) -> str:
    """Return the type of an output, and what of it tells why it is no scores."""
    kind = type(output).__name__
    if isinstance(output, Tensor):
        return f"{kind} of shape {tuple(output.shape)}"
    if isinstance(output, list | tuple | Mapping) and not output:
        return f"an empty {kind}"
    if isinstance(output, Mapping):
        return f"{kind} with {', '.join(map(str, output))}"
    if isinstance(output, list | tuple):
        return f"{kind} with {', '.join(dict.fromkeys(map(_described, output)))}"
    return kind


def _is_map(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.dim() == 4


def _member(module: Module, name: str) -> Callable[..., Any]:
    """Return the class or function of a module.

    Raises:
        UserError: there is none.
    """
    loaded: Any = module.load()
    found = loaded
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, nn.Module):
        raise UserError(f"{module.path.name}:{name} is a network; name the class or a function that makes one")
    if not callable(found):
        known = _makers(loaded)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:6]) or 'none'}"
        raise UserError(f"{module.path if module.folder else module.name} has no class or function {name}: {hint}")
    return found


def _makers(module: ModuleType) -> list[str]:
    """Return the names of what may make a network in a module, first what takes a number of classes, in order."""
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_") or not callable(value):
            continue
        if isinstance(value, nn.Module) or (inspect.isclass(value) and not issubclass(value, nn.Module)):
            continue
        parameters, takes_any = _parameters(value)
        takes_classes = not parameters.keys().isdisjoint(CLASSES)
        is_of_module = inspect.isclass(value) or getattr(value, "__module__", None) == module.__name__
        if takes_classes or takes_any or is_of_module:
            found[name] = (not takes_classes, name)
    return sorted(found, key=found.__getitem__)


def _called(make: Callable[..., Any], num_classes: int, given: Mapping[str, Any], title: str) -> Any:
    """Call a factory with the number of classes, by whatever name it takes it.

    Raises:
        UserError: it does not take the arguments, or raises an exception.
    """
    parameters, takes_any = _parameters(make)
    arguments = {name: num_classes if isinstance(value, own.ClassCount) else value for name, value in given.items()}
    counted = next((name for name, value in given.items() if isinstance(value, own.ClassCount)), None)
    if counted is None:
        named = next((each for each in CLASSES if each in parameters), CLASSES[0] if takes_any else None)
        if named is None:
            raise UserError(
                f"{title} takes no number of classes: give it an argument {' or '.join(CLASSES[:3])}, or tell the "
                f"name of the one it has by --model-args NAME={own.CLASSES}"
            )
        if named in arguments:
            raise UserError(f"{title}: {named} is the number of classes, which the protocol sets: leave it out")
        arguments[named] = num_classes
    if not takes_any and (others := sorted(arguments.keys() - parameters)):
        raise UserError(f"{title} takes no argument {others[0]}; it takes {', '.join(parameters)}")
    required = [name for name, each in parameters.items() if each.default is each.empty and name not in arguments]
    if counted and (others := [name for name in required if name in CLASSES]):
        raise UserError(
            f"{title} takes the number of classes as {others[0]}: leave out {counted}={own.CLASSES}, or give {counted} "
            "a value of its own"
        )
    if required:
        raise UserError(f"{title} needs {', '.join(required)}: give --model-args {required[0]}=VALUE")
    arguments |= {name: value for name, value in own.UNTRAINED.items() if name in parameters}
    try:
        return make(**arguments)
    except UserError:
        raise
    except FOREIGN as error:  # of the user's code, of any kind
        raise UserError(f"{title} cannot be made: {type(error).__name__}: {one_line(error)}") from error


def _parameters(make: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the parameters that may be named in a call, and whether it takes any name.

    A constructor that takes `**kwargs` has those of its base classes too, which it need not be given.
    """
    makers: list[Any] = [make]
    if inspect.isclass(make):
        makers = [vars(each)["__init__"] for each in make.__mro__ if "__init__" in vars(each) and each is not nn.Module]
    found: dict[str, inspect.Parameter] = {}
    for number, maker in enumerate(makers):
        try:
            parameters = list(inspect.signature(maker).parameters.values())[inspect.isclass(make) :]
        except (TypeError, ValueError):
            return found, True
        named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        found = {each.name: each.replace(default=None) if number else each for each in named} | found
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return found, number > 0
    return found, bool(makers)
