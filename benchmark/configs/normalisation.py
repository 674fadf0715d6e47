"""Normalisation of images before a network: the one that its own config states, and the one of a protocol.

A protocol normalises the images of every network in the same way. Third-party weights expect the normalisation that
they were trained with, which a config in the style of mmsegmentation states as its `data_preprocessor`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError

if TYPE_CHECKING:
    from mmengine import Config

CHANNELS = 3


@dataclass(frozen=True)
class Normalisation:
    """Normalisation and padding of images in an evaluation.

    Attributes:
        mean: subtracted from values in 0..255, one for each channel in the order that the network sees; None for no
            normalisation.
        std: divisors, in the same order; None for no normalisation.
        bgr: whether the network sees the blue channel first.
        pad_val: value of padded pixels, after normalisation.
        test_cfg: `size_divisor` or `size` that images are padded to, as in mmsegmentation's `SegDataPreProcessor`.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    bgr: bool
    pad_val: float = 0
    test_cfg: Mapping[str, Any] | None = None

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return CHANNELS if self.mean is None else len(self.mean)

    @property
    def text(self) -> str:
        """Description in one line, with the numbers in the order of the channels that the network sees."""
        order = "BGR" if self.bgr else "RGB"
        if self.mean is None or self.std is None:
            found = f"none, {order}"
        else:
            found = f"mean {_numbers(self.mean)}, std {_numbers(self.std)}, {order}"
        padded = [f"{name} {value}" for name, value in (self.test_cfg or {}).items() if value is not None]
        return found + (f", padded to {', '.join(padded)}" if padded else "")

    @property
    def plain(self) -> dict[str, Any]:
        """Plain data, as a file holds it and `of_plain` reads it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def changed(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, bgr: bool | None = None
    ) -> Normalisation:
        """Return another normalisation; what is not given stays the same for each colour.

        Args:
            mean: in the order of the channels that the network sees.
            std: in the same order.
            bgr: whether the network sees the blue channel first.
        """
        bgr = self.bgr if bgr is None else bgr

        def ordered(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
            return values if values is None or bgr == self.bgr else values[::-1]

        return Normalisation(
            mean=ordered(self.mean) if mean is None else tuple(mean),
            std=ordered(self.std) if std is None else tuple(std),
            bgr=bgr,
            pad_val=self.pad_val,
            test_cfg=self.test_cfg,
        )

    def apply(self, config: Config) -> bool:
        """Set a composed config to normalise and pad as this; return False where it does so already."""
        if of_protocol(config) == self:
            return False
        for preprocessor in (config.data_preprocessor, config.model.data_preprocessor):
            preprocessor.update(bgr_to_rgb=False, rgb_to_bgr=self.bgr, pad_val=self.pad_val)
            for name, value in (("mean", self.mean), ("std", self.std), ("test_cfg", self.test_cfg)):
                preprocessor.pop(name, None)
                if value is not None:
                    preprocessor[name] = list(value) if isinstance(value, tuple) else dict(value)
        return True


def of_protocol(config: Mapping[str, Any]) -> Normalisation:
    """Return the normalisation of a protocol or of a composed config, whose images come red first."""
    preprocessor = config["data_preprocessor"]
    return _of(preprocessor, bgr=_flips(preprocessor))


def stated(config: Mapping[str, Any]) -> Normalisation | None:
    """Return the normalisation that a config in the style of mmsegmentation states; None where it states none.

    Its images come as OpenCV reads them, blue first, unless the config is one of ours that `segbench config` printed.
    """
    preprocessor = config.get("model", {}).get("data_preprocessor") or config.get("data_preprocessor")
    if not preprocessor or not {"mean", "std", "bgr_to_rgb", "rgb_to_bgr"} & set(preprocessor):
        return None
    return _of(preprocessor, bgr=_flips(preprocessor) == ("protocol" in config))


def of_plain(found: Any, where: str) -> Normalisation:
    """Read plain data that a file holds.

    Args:
        found: as `Normalisation.plain`.
        where: name of the file.

    Raises:
        UserError: it is something else.
    """
    try:
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        read = Normalisation(**facts)
        numbers = [*(read.mean or ()), *(read.std or ()), read.pad_val]
        if not all(type(value) in (int, float) and math.isfinite(value) for value in numbers):
            raise ValueError
        if (read.mean is None) != (read.std is None) or not isinstance(read.bgr, bool) or 0 in (read.std or ()):
            raise ValueError
        if read.channels != CHANNELS or len(read.std or read.mean or (0,) * CHANNELS) != CHANNELS:
            raise ValueError
        _ = read.text
    except (TypeError, ValueError, AttributeError):
        raise UserError(f"{where} holds a damaged normalisation: import the weights again") from None
    return read


def _of(preprocessor: Mapping[str, Any], bgr: bool) -> Normalisation:
    mean, std = preprocessor.get("mean"), preprocessor.get("std")
    padding = preprocessor.get("test_cfg")
    return Normalisation(
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        bgr=bgr,
        pad_val=preprocessor.get("pad_val", 0),
        test_cfg=dict(padding) if padding else None,
    )


def _flips(preprocessor: Mapping[str, Any]) -> bool:
    """Return whether a preprocessor reverses the order of the channels."""
    return bool(preprocessor.get("bgr_to_rgb") or preprocessor.get("rgb_to_bgr"))


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
