"""The metric counts the network's own predictions, or those that a dense CRF makes of them."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from benchmark.configs import compose
from benchmark.confusion import count
from benchmark.datasets.shapes import Shapes
from benchmark.engine.metric import ConfusionMetric
from benchmark.engine.session import Session
from benchmark.errors import UserError
from benchmark.postprocessing.crf import DenseCRF

installed = pytest.mark.skipif(find_spec("pydensecrf") is None, reason='needs pip install "segbench[crf]"')

CRF = {"w1": 4, "sigma_alpha": 67, "sigma_beta": 3, "w2": 3, "sigma_gamma": 1, "iterations": 10}


def metric(**arguments):
    made = ConfusionMetric(keep=["a", "b"], **arguments)
    made.dataset_meta = {"classes": ["one", "two", "three"]}
    return made


def batch(labels=3, dtype=torch.float32):
    """Two images of 6 x 9 pixels as a network sees them: the batch, and what mmengine's evaluator passes on."""
    torch.manual_seed(0)
    inputs = [torch.randint(0, 256, (3, 6, 9), dtype=torch.uint8) for _ in range(2)]
    samples = []
    for name in "ab":
        logits = 3 * torch.randn(labels, 6, 9).to(dtype)
        samples.append(
            {
                "img_path": name,
                "gt_sem_seg": {"data": torch.randint(0, 3, (1, 6, 9))},
                "seg_logits": {"data": logits},
                "pred_sem_seg": {"data": logits.argmax(dim=0, keepdim=True)},
            }
        )
    return {"inputs": inputs}, samples


def test_counts_the_networks_labels_and_needs_nothing_else():
    _, samples = batch()
    for sample in samples:
        del sample["seg_logits"]
    plain = metric()
    plain.process({}, samples)
    plain.evaluate(2)
    for name, sample, counts in zip("ab", samples, plain.counts, strict=True):
        expected = sample["pred_sem_seg"]["data"][0].numpy()
        assert np.array_equal(plain.predictions[name], expected)
        assert np.array_equal(counts, count(expected, sample["gt_sem_seg"]["data"][0].numpy(), 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hands_the_crf_each_image_and_its_probabilities(monkeypatch, dtype):
    seen = []

    def refine(crf, image, probabilities):
        seen.append((crf, image, probabilities))
        return probabilities[::-1]

    monkeypatch.setattr(DenseCRF, "refine", refine)
    refined, (inputs, samples) = metric(crf=CRF), batch(dtype=dtype)
    refined.process(inputs, samples)
    refined.evaluate(2)
    for (crf, image, probabilities), raw, sample in zip(seen, inputs["inputs"], samples, strict=True):
        assert crf == DenseCRF(**CRF)
        assert image.dtype == np.uint8
        assert image.shape == (6, 9, 3)
        assert image[4, 7].tolist() == raw[:, 4, 7].tolist()
        assert probabilities.dtype == np.float32
        odds = np.exp(sample["seg_logits"]["data"].double().numpy())
        assert np.allclose(probabilities, odds / odds.sum(axis=0), atol=1e-6)
        expected = 2 - sample["pred_sem_seg"]["data"][0].numpy()
        assert np.array_equal(refined.predictions[sample["img_path"]], expected)
    truth = [sample["gt_sem_seg"]["data"][0].numpy() for sample in samples]
    assert np.array_equal(refined.counts[1], count(refined.predictions["b"], truth[1], 3))


@installed
def test_void_is_a_label_like_any_other():
    """A network with a fourth output for void, sure of it everywhere, still predicts void."""
    inputs, samples = batch(labels=4)
    for sample in samples:
        sample["seg_logits"]["data"][3] += 50
    refined = metric(crf=CRF)
    refined.process(inputs, samples)
    refined.evaluate(2)
    assert refined.counts[:, :, :3].sum() == 0
    assert refined.counts[:, :, 3].sum() == 2 * 6 * 9


def test_refuses_a_parameter_out_of_range():
    with pytest.raises(UserError, match="above 0"):
        ConfusionMetric(crf={**CRF, "sigma_beta": 0})


@installed
def test_a_config_with_a_crf_refines_the_test_split(tmp_path):
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1, deterministic=True)
    own = Session(config, tmp_path / "own")
    name = "test_0005"
    weights = own.train().last
    before = own.evaluate("test", [name])
    config.test_evaluator.crf = CRF
    refining = Session(config, tmp_path / "crf")
    refining.load(weights)
    after = refining.evaluate("test", [name])

    source = Shapes("test")
    model = refining.runner.model.eval()
    image = source.image(source.names.index(name))
    with torch.no_grad():
        (sample,) = model.test_step({"inputs": [torch.from_numpy(image.transpose(2, 0, 1).copy())]})
    logits = sample.seg_logits.data
    assert np.array_equal(before.predictions[name], logits.argmax(dim=0).numpy())
    expected = DenseCRF(**CRF).refine(image, logits.softmax(dim=0).numpy()).argmax(axis=0)
    assert np.array_equal(after.predictions[name], expected)
    assert not np.array_equal(before.predictions[name], expected)
    assert after.names == before.names
    assert np.array_equal(after.counts.sum(axis=2), before.counts.sum(axis=2))
