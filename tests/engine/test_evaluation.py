"""What the evaluation loops predict is what mmsegmentation predicts."""

import copy
from types import SimpleNamespace

import pytest
import torch

from benchmark import compose
from benchmark.engine.evaluation import labels, predict, unpadded
from benchmark.engine.session import Session


def slowly(scores):
    """The definition, a pixel at a time: the first of the highest."""
    classes, height, width = scores.shape
    columns = scores.permute(1, 2, 0).reshape(-1, classes).tolist()
    return torch.tensor([column.index(max(column)) for column in columns], dtype=torch.uint8).reshape(height, width)


@pytest.mark.parametrize("classes", [2, 11, 19, 150, 255])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("values", [2, 5, 10**6])
def test_labels_are_the_first_of_the_highest_scores(classes, dtype, values):
    generator = torch.Generator().manual_seed(classes)
    scores = (torch.randint(-values, values, (classes, 13, 17), generator=generator) / 7).to(dtype)
    found = labels(scores)
    assert found.dtype == torch.uint8
    assert torch.equal(found, slowly(scores))
    assert torch.equal(found.long(), scores.argmax(dim=0))
    assert torch.equal(labels(scores.permute(1, 2, 0).contiguous().permute(2, 0, 1)), found)


def test_labels_of_scores_that_are_no_numbers_are_those_of_argmax():
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])
    scores = values[torch.randint(0, 6, (7, 64, 64), generator=torch.Generator().manual_seed(0))]
    assert torch.equal(labels(scores).long(), scores.argmax(dim=0))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", [None, (0, 3, 0, 5), (1, 2, 4, 3)])
@pytest.mark.parametrize("grown", [1, 1.5, 0.5])
def test_scores_and_labels_are_those_of_mmsegmentation(align_corners, padding, grown):
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.structures import SegDataSample

    scores = torch.randn(1, 6, 40, 56, generator=torch.Generator().manual_seed(0))
    left, right, top, bottom = padding or (0, 0, 0, 0)
    size = round((40 - top - bottom) * grown), round((56 - left - right) * grown)
    image = {"ori_shape": size} | ({"img_padding_size": padding} if padding else {})
    model = SimpleNamespace(align_corners=align_corners)
    (theirs,) = EncoderDecoder.postprocess_result(model, scores, [SegDataSample(metainfo=image)])
    ours = unpadded(scores[0], image, align_corners)
    assert torch.equal(ours, theirs.seg_logits.data)
    assert torch.equal(labels(ours).long(), theirs.pred_sem_seg.data[0])


@pytest.mark.parametrize(
    ("inference", "test_cfg"),
    [
        ({"mode": "whole"}, None),
        ({"mode": "whole"}, {"size_divisor": 48}),
        ({"mode": "slide", "crop_size": (32, 40), "stride": (24, 24)}, None),
    ],
)
def test_predicts_what_the_test_step_of_a_network_does(tmp_path, inference, test_cfg):
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1)
    config.model.test_cfg = inference
    config.model.data_preprocessor.test_cfg = test_cfg
    runner = Session(config, tmp_path).runner
    model = runner.model.eval()
    batch = next(iter(runner.test_dataloader))
    with torch.no_grad():
        theirs = model.test_step(copy.deepcopy(batch))
        ours = predict(model, batch)
    for sample, expected in zip(ours, theirs, strict=True):
        assert sample.metainfo == expected.metainfo
        assert torch.equal(sample.gt_sem_seg.data, expected.gt_sem_seg.data)
        assert torch.equal(sample.seg_logits.data, expected.seg_logits.data)
        assert torch.equal(sample.pred_sem_seg.data.long(), expected.pred_sem_seg.data)
        assert len(expected.pred_sem_seg.data.unique()) > 1


def test_counts_do_not_depend_on_how_many_images_a_network_is_given_at_a_time(tmp_path):
    counted = []
    for images in (1, 5):
        config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1, deterministic=True)
        config.test_dataloader.batch_size = images
        seen = []
        session = Session(
            config, tmp_path / str(images), lambda phase, done, total, loss, to=seen: to.append((done, total))
        )
        session.runner.model.double()  # in which sums differ less by their order than two classes do
        counted.append(session.evaluate("test"))
        assert seen == [(min(done, 64), 64) for done in range(images, 64 + images, images)]
    one, other = counted
    assert one.names == other.names
    assert (one.counts == other.counts).all()
