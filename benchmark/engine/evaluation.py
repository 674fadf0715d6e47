"""Evaluation loops of mmengine with a fast path from the scores of a network to its labels.

mmsegmentation resizes scores even if they have the target size, and computes their `argmax`, which on a CPU costs four
to seven times as much as `max`, for the same indices: at 1024x2048 more than most networks.

On a GPU, images are kept in its memory if they fit, nothing synchronizes with it before the last image, all batches
have one size, which is halved on an out-of-memory error, and float32 arithmetic is IEEE 754 (no TF32).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop, ValLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.structures import PixelData
from torch import Tensor
from torch.utils.data import DataLoader

from benchmark.engine.arithmetic import algorithm_search, float32_arithmetic
from benchmark.engine.layout import memory_format
from benchmark.engine.share import summed
from benchmark.errors import UserError
from benchmark.inputs.batches import EvaluationImages
from benchmark.inputs.gpu_batches import ResidentImages, fits

if TYPE_CHECKING:
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.structures import SegDataSample

EVAL_BATCH_SIZE = 8
"""Images per batch in an evaluation on a GPU; single images do not saturate it."""

LABELS = "labels"
"""`resized` in the inference settings of a protocol that resizes labels to the size of the image instead of scores."""


class _Evaluation(BaseLoop):
    """A loop over the images of a split.

    Args:
        resident: keep the images in GPU memory if they have one size and fit in half of its free memory.

    Attributes:
        phase: name of the loop in mmengine's hooks ("val" or "test").
        batch_size: images per forward pass: the batch size of the data loader, or less after an out-of-memory error.
    """

    phase: str
    dataloader: DataLoader[Any]

    def __init__(self, *args: Any, resident: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resident = resident
        self.batch_size = self.dataloader.batch_size or 1
        self._has_nan: list[Tensor] = []  # for each image; on the device, as the loop does not wait for it

    def run(self) -> Any:
        """Evaluate the network on all images of the split; return the metrics by name.

        Raises:
            UserError: scores are NaN, in a test.
        """
        self._has_nan.clear()
        images = self.dataloader.dataset
        if self.resident and isinstance(images, EvaluationImages) and fits(images.pixels, self._device):
            self.dataloader = DataLoader(
                ResidentImages(images, self._device),
                self.dataloader.batch_size,
                sampler=self.dataloader.sampler,
                collate_fn=self.dataloader.collate_fn,
            )
        with float32_arithmetic(tf32=False), algorithm_search(False):
            metrics = super().run()
        if self.phase == "test":  # a training whose weights are NaN ends by its loss, and not in a validation
            self.check_scores()
        return metrics

    def check_scores(self) -> None:
        """Check the scores of the last evaluation.

        Raises:
            UserError: some are NaN, of which no class is the highest.
        """
        own = int(torch.stack(self._has_nan).sum()) if self._has_nan else 0
        invalid, images = summed([own, len(self._has_nan)])
        if invalid:
            raise UserError(f"the scores of the network are NaN in {invalid} of {images} images")

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Predict one batch and pass it to the evaluator, in parts if it does not fit in GPU memory.

        Raises:
            torch.OutOfMemoryError: a single image does not fit.
        """
        self.runner.call_hook(f"before_{self.phase}_iter", batch_idx=idx, data_batch=data_batch)
        if self._device.type == "cuda":
            data_batch = _uploaded(data_batch, self._device)
        images = len(data_batch["inputs"])
        outputs: list[SegDataSample] = []
        pads = self._pads and _count_same_size(data_batch, 0, images) == images
        while (done := len(outputs)) < images:
            end = done + _count_same_size(data_batch, done, min(self.batch_size, images - done))
            size = self.batch_size if pads else end - done
            part = {name: values[done:end] for name, values in data_batch.items()}
            try:
                outputs += self._evaluated(part, size)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.batch_size = size // 2
                self.runner.logger.info(f"out of memory: the batch size is now {self.batch_size}")
        self.runner.call_hook(f"after_{self.phase}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _evaluated(self, batch: dict[str, Any], size: int) -> list[SegDataSample]:
        """Remove the scores, which take much more memory than labels, once the evaluator has processed them."""
        samples = predict(self._segmentor, batch, size)
        self.evaluator.process(data_samples=samples, data_batch=batch)
        self._has_nan += [sample.has_nan for sample in samples]
        for sample in samples:
            del sample.seg_logits
        return samples

    @property
    def _segmentor(self) -> Any:
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    @property
    def _device(self) -> torch.device:
        return torch.device(self._segmentor.data_preprocessor.device)

    @property
    def _pads(self) -> bool:
        """Return whether the last batch is padded: a GPU selects algorithms, and compiles kernels, for each shape."""
        return self._device.type == "cuda"


@LOOPS.register_module()
class LeanValLoop(_Evaluation, ValLoop):
    """mmengine's validation loop around `predict`."""

    phase = "val"


@LOOPS.register_module()
class LeanTestLoop(_Evaluation, TestLoop):
    """mmengine's test loop around `predict`."""

    phase = "test"


def predict(model: EncoderDecoder, batch: dict[str, Any], size: int = 0) -> list[SegDataSample]:
    """Compute scores and labels of a batch, like `model.test_step`, with labels as uint8.

    Args:
        model: a segmentor in evaluation mode.
        batch: `inputs` and `data_samples` from a data loader.
        size: minimum batch size; the last image is repeated to pad a smaller batch.

    Returns:
        The samples, on the device of the model, with `seg_logits` of shape (K, height, width) and `pred_sem_seg` of
        shape (1, height, width), at the size of the images before any test-time resizing or padding, and `has_nan`,
        whether scores are NaN, of shape ().
    """
    data = model.data_preprocessor(batch, False)
    samples: list[SegDataSample] = data["data_samples"]
    inputs = data["inputs"].contiguous(memory_format=memory_format(model))
    facts = [sample.metainfo for sample in samples]
    if (lack := size - len(samples)) > 0:
        inputs = torch.cat([inputs, inputs[-1:].expand(lack, -1, -1, -1)])
        facts += facts[-1:] * lack
    scores = model.inference(inputs, facts)[: len(samples)]
    resizes_labels = model.test_cfg.get("resized") == LABELS
    for sample, padded in zip(samples, scores, strict=True):
        each = unpadded(padded, sample.metainfo, model.align_corners)
        predicted, highest = _highest(each)
        if resizes_labels:
            predicted = enlarged(labels(_cropped(padded, sample.metainfo)), sample.metainfo["ori_shape"])
        sample.set_data({"seg_logits": PixelData(data=each), "pred_sem_seg": PixelData(data=predicted[None])})
        sample.set_data({"has_nan": highest.isnan().any()})
    return samples


def unpadded(scores: Tensor, image: Mapping[str, Any], align_corners: bool) -> Tensor:
    """Crop the padding of the input from scores, and resize them to the original size of the image.

    Args:
        scores: shape (K, height, width).
        image: metadata of the image by mmsegmentation's names: `ori_shape`, and `img_padding_size` if it was
            padded.
        align_corners: `align_corners` of the network.
    """
    scores = _cropped(scores, image)
    if scores.shape[1:] == tuple(image["ori_shape"]):
        return scores
    return F.interpolate(scores[None], image["ori_shape"], mode="bilinear", align_corners=align_corners)[0]


def _cropped(scores: Tensor, image: Mapping[str, Any]) -> Tensor:
    left, right, top, bottom = image.get("img_padding_size", image.get("padding_size", (0, 0, 0, 0)))
    height, width = scores.shape[1:]
    return scores[:, top : height - bottom, left : width - right]


def enlarged(predicted: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize labels to the nearest.

    Args:
        predicted: shape (height, width).
        size: height and width.
    """
    return F.interpolate(predicted[None, None].float(), tuple(size), mode="nearest")[0, 0].to(predicted.dtype)


def labels(scores: Tensor) -> Tensor:
    """Return the class of the highest score at each pixel; for ties, the first.

    Args:
        scores: shape (K, height, width), 1 < K < 256.

    Returns:
        uint8, shape (height, width).
    """
    return _highest(scores)[0]


def _highest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels of scores, and the score of each label, which is NaN if any score of the pixel is."""
    values, indices = scores.max(dim=0)
    return indices.to(torch.uint8), values


def _count_same_size(batch: dict[str, Any], first: int, most: int) -> int:
    """Count the leading images, up to a limit, that have the size of the first, before and after the network."""
    inputs, samples = batch["inputs"], batch["data_samples"]
    sizes = [(inputs[i].shape, tuple(samples[i].ori_shape)) for i in range(first, first + most)]
    return next((i for i, size in enumerate(sizes) if size != sizes[0]), most)


def _uploaded(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Copy the images and labels of a batch to the GPU without synchronizing with it."""

    def upload(values: Tensor) -> Tensor:
        return values if values.is_cuda else values.pin_memory().to(device, non_blocking=True)

    for sample in batch["data_samples"]:
        sample.gt_sem_seg.data = upload(sample.gt_sem_seg.data)
    return {**batch, "inputs": [upload(image) for image in batch["inputs"]]}
