"""What the evaluation loops predict is what mmsegmentation predicts."""

import copy
import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.configs import compose
from benchmark.engine import counting, evaluation
from benchmark.engine.evaluation import labels, predict, unpadded
from benchmark.engine.session import Session
from benchmark.errors import UserError
from benchmark.inputs.gpu_batches import ResidentImages


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


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Makes sessions whose network predicts from each pixel alone, so that no bit depends on the batch."""
    given = []

    def scores(model, inputs, facts):
        assert len(facts) == len(inputs)
        given.append(len(inputs))
        return torch.stack([(inputs * weight).sum(1) for weight in torch.linspace(-1, 1, 8)], 1)

    def made(limit=None, batch_size=24):
        config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1)
        config.test_dataloader.batch_size = batch_size
        session = Session(config, tmp_path / "work")

        def inference(inputs, facts):
            if limit is not None and len(inputs) > limit:
                given.append(-len(inputs))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return scores(session.runner.model, inputs, facts)

        monkeypatch.setattr(session.runner.model, "inference", inference)
        session.given = given
        given.clear()
        return session

    return made


def test_scores_that_are_nan_are_an_error_and_no_prediction(session, monkeypatch):
    made = session()
    network, seen = made.runner.model.inference, []

    def inference(inputs, facts):
        scores = network(inputs, facts)
        if not seen:
            scores[1, 3, 5, 7] = torch.nan
        seen.append(len(inputs))
        return scores

    monkeypatch.setattr(made.runner.model, "inference", inference)
    for split, images in (("test", 64), ("val", 32)):
        seen.clear()
        with pytest.raises(UserError, match=f"the scores of the network are NaN in 1 of {images} images"):
            made.evaluate(split)
    assert len(made.evaluate("test").names) == 64  # and the next evaluation begins anew


def same(one, other):
    assert one.names == other.names
    assert (one.counts == other.counts).all()
    assert one.predictions.keys() == other.predictions.keys()
    for name, predicted in one.predictions.items():
        assert predicted.dtype == other.predictions[name].dtype == "uint8"
        assert (predicted == other.predictions[name]).all()


KEPT = ["test_0003", "test_0060"]


@pytest.fixture
def expected(session):
    """What is found in batches of 24 images of 64."""
    made = session()
    found = made.evaluate("test", KEPT)
    assert made.given == [24, 24, 16]  # on a CPU the last batch is what it is
    assert set(found.predictions) == set(KEPT)
    return found


@pytest.mark.parametrize(
    ("limit", "given"),
    [
        (12, [-24, 12, 12, 12, 12, 12, 4]),
        (11, [-24, -12, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 4]),
        (1, [-24, -12, -6, -3] + 64 * [1]),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_no_image_counted_twice(session, expected, limit, given):
    made = session(limit)
    progress = []
    made.runner.test_loop.evaluator.process = _noting(made.runner.test_loop.evaluator.process, progress)
    same(made.evaluate("test", KEPT), expected)
    assert made.given == given
    assert sum(progress) == 64
    made.given.clear()
    same(made.evaluate("test", KEPT), expected)  # what fits is remembered
    assert made.given == [size for size in given if size > 0]


def _noting(process, seen):
    def noting(data_samples, data_batch):
        seen.append(len(data_samples))
        process(data_samples=data_samples, data_batch=data_batch)

    return noting


def test_memory_that_ends_while_a_batch_is_counted_counts_nothing_twice(session, expected, monkeypatch):
    real, calls = counting.count, []

    def count(*arguments):
        calls.append(arguments)
        if len(calls) == 30:  # the sixth image of the second batch
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*arguments)

    monkeypatch.setattr(counting, "count", count)
    made = session()
    same(made.evaluate("test", KEPT), expected)
    assert made.given == [24, 24, 12, 12, 12, 4]


def test_one_image_that_does_not_fit_is_an_error(session):
    with pytest.raises(torch.OutOfMemoryError):
        session(limit=0).evaluate("test")


def test_what_a_failed_attempt_has_computed_is_given_back(session, monkeypatch):
    """Else the smaller batch would find no more memory than the larger one did."""
    made, held = session(), []
    whole = made.runner.model.inference

    class Activation:
        pass

    def inference(inputs, facts):
        gc.disable()  # nor may it take the garbage collector
        assert not any(activation() for activation in held)
        if len(inputs) > 12:
            activation = Activation()
            held.append(weakref.ref(activation))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(inputs, facts)

    monkeypatch.setattr(made.runner.model, "inference", inference)
    try:
        made.evaluate("test")
    finally:
        gc.enable()
    assert len(held) == 1


def test_the_last_batch_is_filled_up_on_a_gpu(session, expected, monkeypatch):
    monkeypatch.setattr(evaluation._Evaluation, "_pads", True)
    made = session()
    same(made.evaluate("test", KEPT), expected)
    assert made.given == [24, 24, 24]
    made = session(limit=12)
    same(made.evaluate("test", KEPT), expected)
    assert made.given == [-24, 12, 12, 12, 12, 12, 12]


def test_resident_images_are_counted_as_those_of_the_disk_are(session, expected, monkeypatch):
    monkeypatch.setattr(evaluation, "fits", lambda pixels, device: True)
    made = session()
    images = made.runner.test_dataloader.dataset
    same(made.evaluate("test", KEPT), expected)
    resident = made.runner.test_dataloader.dataset
    assert isinstance(resident, ResidentImages)
    assert (resident.source, resident.metainfo, len(resident)) == (images.source, images.metainfo, len(images))
    monkeypatch.delattr(type(images.pixels), "image")
    same(made.evaluate("test", KEPT), expected)  # nothing is read any more


def test_images_are_not_kept_where_they_are_not_to_be(session, expected, monkeypatch):
    monkeypatch.setattr(evaluation, "fits", lambda pixels, device: True)
    made = session()
    made.runner.test_loop.resident = False
    same(made.evaluate("test", KEPT), expected)
    assert not isinstance(made.runner.test_dataloader.dataset, ResidentImages)


class Uneven:
    """Three images of one size, one of another, and two of the first."""

    sizes = [(12, 16)] * 3 + [(20, 8)] + [(12, 16)] * 2

    def __len__(self):
        return len(self.sizes)

    def image(self, index):
        return np.random.default_rng(index).integers(0, 256, (3, *self.sizes[index]), np.uint8)

    def label(self, index):
        return np.random.default_rng(index).integers(0, 8, self.sizes[index], np.uint8)


@pytest.mark.parametrize("pads", [False, True])
def test_images_of_several_sizes_are_evaluated_by_size(session, monkeypatch, pads):
    monkeypatch.setattr(evaluation._Evaluation, "_pads", pads)
    counted = []
    for batch_size in (1, 4):
        made = session(batch_size=batch_size)
        dataset = made.runner.test_dataloader.dataset
        dataset.pixels = Uneven()
        monkeypatch.setattr(type(dataset), "__len__", lambda self: len(self.pixels))
        made.runner.test_dataloader.sampler.total_size = made.runner.test_dataloader.sampler.num_samples = 6
        counted.append(made.evaluate("test"))
        assert made.given == [1] * 6 if batch_size == 1 else [3, 1, 4 if pads else 2]
    same(*counted)


def test_nothing_waits_for_the_device_before_the_last_image(tmp_path, waits, monkeypatch):
    monkeypatch.setattr(counting, "_is_on_gpu", lambda tensor: True)
    session = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1), tmp_path)
    loop, seen = session.runner.test_loop, []
    run_iter = loop.run_iter

    def watched(idx, batch):
        with waits() as watch:
            run_iter(idx, batch)
        seen.append(watch.names)

    loop.run_iter = watched
    counted = session.evaluate("test", KEPT)
    assert seen == [[], []]
    monkeypatch.undo()
    same(session.evaluate("test", KEPT), counted)


def test_float32_is_that_of_ieee_and_no_algorithm_is_searched(session, monkeypatch):
    made, seen = session(), []
    whole = made.runner.model.inference

    def inference(inputs, facts):
        cudnn = torch.backends.cudnn
        seen.append((cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return whole(inputs, facts)

    monkeypatch.setattr(made.runner.model, "inference", inference)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    made.evaluate("test")
    assert set(seen) == {(False, False, False)}
    assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.allow_tf32


@pytest.fixture
def on_gpu(monkeypatch):
    """Sessions compute on the GPU, as they do in a process that has not hidden it."""
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cuda")


@pytest.mark.gpu
def test_a_gpu_counts_what_a_cpu_does(tmp_path, monkeypatch):
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cpu")
    cpu = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1), tmp_path / "cpu")
    expected = cpu.evaluate("test", KEPT)
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cuda")
    session = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1), tmp_path / "gpu")
    session.load_state(cpu.runner.model.state_dict())
    found = session.evaluate("test", KEPT)
    loop = session.runner.test_loop
    assert isinstance(loop.dataloader.dataset, ResidentImages)
    assert next(session.runner.model.parameters()).is_cuda
    assert found.names == expected.names
    assert abs(found.counts - expected.counts).sum() <= 1e-3 * expected.counts.sum()


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_is_not_waited_for(tmp_path, on_gpu, resident):
    session = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1), tmp_path)
    loop = session.runner.test_loop
    loop.resident = resident
    first = session.evaluate("test", KEPT)  # libraries take their memory
    run_iter = loop.run_iter

    def watched(idx, batch):
        torch.cuda.set_sync_debug_mode("error")
        try:
            run_iter(idx, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    loop.run_iter = watched
    same(session.evaluate("test", KEPT), first)


@pytest.mark.gpu
def test_memory_that_is_really_short_is_made_do_with(tmp_path, on_gpu):
    session = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1), tmp_path)
    loop, model = session.runner.test_loop, session.runner.model
    whole = model.inference
    # A quarter of a gigabyte for each image of a batch, of which 8 are there.
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 8 * 2**28) / total)

    def inference(inputs, facts):
        torch.empty(len(inputs), 2**28, dtype=torch.uint8, device="cuda")
        return whole(inputs, facts)

    model.inference = inference
    try:
        found = session.evaluate("test")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert loop.batch_size in (4, 2)  # 32, 16 and perhaps 8 did not fit
    assert len(found.names) == 64
    assert found.counts.sum() == 64 * 64 * 64
