"""mmsegmentation's own training of a config of ours, like its `tools/train.py`.

It uses mmengine's Runner with mmsegmentation's default runtime and hooks, its own dataset, pipeline and preprocessor.
Network, optimizer, learning rate, batch size, precision and distribution of the augmentation are those of the config.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import mmseg
from mmengine import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import benchmark.registration  # noqa: F401  (registers datasets and optimizer wrappers)
from benchmark.configs.compose import PRECISIONS
from benchmark.errors import UserError
from benchmark.inputs.augmentation import Policy

from mmseg.datasets import BaseSegDataset  # isort: skip
from mmseg.registry import DATASETS  # isort: skip

IMAGES, LABELS = "images", "labels"
"""Folders of the files written by `write_split`."""


def write_split(config: Config, folder: Path) -> None:
    """Write the training split of a composed config as PNG files for mmsegmentation's pipeline.

    Args:
        config: a config from `compose.compose`.
        folder: parent of the new folders `images` and `labels`; void labels are 255.

    Raises:
        UserError: the protocol trains in two stages, or with mmsegmentation's pipeline.
    """
    dataset = config.train_dataloader.dataset
    if "first_stage" in config or "augmentation" not in dataset:
        raise UserError(f"{config.protocol.name} cannot be compared: it needs one stage, augmented by segbench")
    with DefaultScope.overwrite_default_scope("mmseg"):
        source = DATASETS.build(dict(dataset.source))
    for kind in (IMAGES, LABELS):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(source.names):
        for kind, pixels in ((IMAGES, source.image(index)[..., ::-1]), (LABELS, source.label(index))):
            cv2.imwrite(str(folder / kind / f"{name}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def runner(config: Config, split: Path, work_dir: Path, workers: int) -> Runner:
    """Return the Runner that mmsegmentation builds with its `default_runtime` and `schedule_20k`.

    Args:
        config: a config from `compose.compose`.
        split: folder with the files of `write_split`.
        work_dir: folder of weights and logs.
        workers: worker processes for batches; 0 for none.
    """
    bases = Path(mmseg.__file__).parent / ".mim" / "configs" / "_base_"
    runtime = Config.fromfile(bases / "default_runtime.py")
    schedule = Config.fromfile(bases / "schedules" / "schedule_20k.py")
    model, preprocessor = config.model.copy(), config.data_preprocessor.copy()
    # OpenCV reads BGR; ours are RGB.
    preprocessor.update(bgr_to_rgb=not preprocessor.pop("rgb_to_bgr", False), rgb_to_bgr=False)
    model.data_preprocessor = preprocessor
    return Runner(
        model=model,
        work_dir=str(work_dir),
        experiment_name=uuid4().hex,  # Runners with equal names share logs and losses
        train_dataloader={
            "batch_size": config.train_dataloader.dataset.batch_size,
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "InfiniteSampler", "shuffle": True},
            "dataset": _dataset(config, split),
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": config.train_cfg.max_iters},
        optim_wrapper=_optim_wrapper(config),
        param_scheduler=config.param_scheduler,
        default_hooks=schedule.default_hooks,
        env_cfg=runtime.env_cfg,
        visualizer=runtime.visualizer,
        log_processor=runtime.log_processor,
        default_scope="mmseg",
        randomness={"seed": config.protocol.seed},
    )


def pipeline(policy: Policy, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return mmsegmentation's pipeline for an augmentation of ours.

    Args:
        policy: ranges of the augmentation.
        size: height and width of the images.
    """
    steps: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomResize", "scale": size[::-1], "ratio_range": tuple(policy.scale), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": tuple(policy.crop_size), "cat_max_ratio": policy.cat_max_ratio},
        {"type": "RandomFlip", "prob": policy.flip},
    ]
    if policy.photometric:
        steps.append({"type": "PhotoMetricDistortion"})
    return [*steps, {"type": "PackSegInputs"}]


def precision(config: Config) -> str:
    """Return the name of the precision of a composed config."""
    return next(name for name, wrapper in PRECISIONS.items() if wrapper == config.optim_wrapper.type)


def _dataset(config: Config, split: Path) -> dict[str, Any]:
    train = config.train_dataloader.dataset
    kind = DATASETS.get(f"mmseg.{train.source.type}")
    return {
        "type": BaseSegDataset,
        "data_root": str(split),
        "data_prefix": {"img_path": IMAGES, "seg_map_path": LABELS},
        "img_suffix": ".png",
        "seg_map_suffix": ".png",
        "metainfo": {"classes": tuple(kind.classes), "palette": [list(colour) for colour in kind.palette]},
        "pipeline": pipeline(Policy(**train.augmentation), tuple(config.protocol.size)),
    }


def _optim_wrapper(config: Config) -> dict[str, Any]:
    wrapper = {name: value for name, value in config.optim_wrapper.items() if name != "type"}
    if (name := precision(config)) in ("bfloat16", "float16"):
        return wrapper | {"type": "AmpOptimWrapper", "dtype": name}
    return wrapper | {"type": "OptimWrapper"}
