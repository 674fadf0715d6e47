"""Batches come from where they cost least, and are the same wherever they come from."""

from statistics import mean, stdev

import pytest
import torch

from benchmark.configs import compose
from benchmark.confusion import scores
from benchmark.engine import loader as module
from benchmark.engine.loader import training_loader
from benchmark.engine.session import Session
from benchmark.errors import UserError
from benchmark.inputs.batches import TrainingBatches
from benchmark.inputs.gpu_batches import ResidentBatches

SMOKE = "shapes_64x64_smoke"


@pytest.fixture
def loader(tmp_path):
    config = compose.compose("enet", SMOKE, max_iters=6)
    return Session(config, tmp_path).runner.train_loop.dataloader


@pytest.fixture
def gpu(monkeypatch):
    """Simulate a GPU with that much memory, on the CPU."""

    def there(roomy):
        monkeypatch.setattr(module, "get_device", lambda: "cuda")
        monkeypatch.setattr(module, "fits", lambda pixels, device: roomy)
        monkeypatch.setattr(module, "ResidentBatches", lambda batches, device: ResidentBatches(batches, "cpu"))

    return there


@pytest.mark.parametrize("resident", ["auto", "off"])
def test_on_a_cpu_batches_are_made_in_this_process(loader, resident):
    assert training_loader(loader, resident, deterministic=False) is loader


@pytest.mark.parametrize(
    ("resident", "deterministic", "roomy", "expected"),
    [
        ("auto", False, True, ResidentBatches),
        ("auto", False, False, TrainingBatches),
        ("auto", True, True, TrainingBatches),
        ("off", False, True, TrainingBatches),
        ("on", True, True, ResidentBatches),
    ],
)
def test_on_a_gpu_they_are_made_there_where_the_split_fits(loader, gpu, resident, deterministic, roomy, expected):
    gpu(roomy)
    found = training_loader(loader, resident, deterministic=deterministic)
    assert isinstance(found.dataset, expected)
    assert bool(found.num_workers) == (expected is TrainingBatches)


def test_a_split_that_must_fit_and_does_not_is_refused(loader, gpu):
    gpu(roomy=False)
    with pytest.raises(UserError, match="--resident on: the training split"):
        training_loader(loader, "on", deterministic=False)


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_workers_make_the_same_batches_from_anywhere_on(loader, gpu):
    gpu(roomy=False)
    fed = training_loader(loader, "auto", deterministic=False)
    fed.sampler.start = 2
    found = list(fed)
    assert len(found) == 4
    for i, batch in enumerate(found, start=2):
        assert all(torch.equal(values, loader.dataset[i][name]) for name, values in batch.items())


@pytest.mark.slow
def test_accuracy_does_not_depend_on_where_batches_are_made(tmp_path, gpu):
    """Both see the same crops, flips and colours, so that less than the seed moves the result."""
    mious = {"off": [], "on": []}
    for resident, found in mious.items():
        if resident == "on":
            gpu(roomy=True)
        for seed in range(3):
            config = compose.compose("enet", SMOKE, seed=seed, max_iters=100, deterministic=True)
            session = Session(config, tmp_path / f"{resident}-{seed}", resident=resident)
            session.train()
            assert session.execution.batches == ("device" if resident == "on" else "host")
            found.append(scores(session.evaluate("test").counts, "ignore").miou)
    assert min(mious["off"]) > 10
    assert abs(mean(mious["off"]) - mean(mious["on"])) < stdev(mious["off"])
