"""Processes that share a batch compute what one process computes."""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import distributed as dist
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine import draws, step
from benchmark.engine.batch_norm import over_all_processes
from benchmark.engine.session import Session
from benchmark.engine.share import Share, agreed, largest, summed
from benchmark.engine.shared_step import SharedStep
from benchmark.errors import UserError

FORK = multiprocessing.get_context("fork")

SECONDS = 120


def _process(function, rank, processes, file, answers, arguments):
    import os

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    try:
        if processes > 1:
            dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=processes)
        answers.put((rank, function(*arguments)))
    except BaseException:
        answers.put((rank, traceback.format_exc()))
        raise


def in_processes(function, *arguments, processes=2):
    """Call a function in several processes of one group; return their answers in the order of their ranks."""
    answers = FORK.Queue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [(function, rank, processes, f"{folder}/group", answers, arguments) for rank in range(processes)]
        started = [FORK.Process(target=_process, args=each) for each in arguments]
        for each in started:
            each.start()
        try:
            found = dict(answers.get(timeout=SECONDS) for _ in started)
        finally:
            for each in started:
                each.join(1)
                each.kill()
    failures = [each for each in found.values() if isinstance(each, str)]
    assert not failures, failures[0]
    return [found[rank] for rank in range(processes)]


# Of whole batches.


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_every_row_of_a_batch_belongs_to_one_process(processes):
    whole = torch.arange(4 * 3).view(12, 1)  # three windows of each of four images
    shares = [Share(rank, processes, 4) for rank in range(processes)]
    parts = [share.mine(whole) for share in shares]
    assert [len(part) for part in parts] == [3 * share.images for share in shares]
    assert torch.cat(parts).flatten().sort().values.tolist() == list(range(12))
    assert parts[0][:3].flatten().tolist() == [0, 1, 2]


def _gathered():
    rank = dist.get_rank()
    share = Share.of([2, 2, 1][rank])
    mine = (share.mine(torch.arange(5.0)[:, None].expand(5, 2)) + 1).requires_grad_()
    whole = share.whole(mine)
    (whole.square().sum() / 5).backward()
    return (
        whole.tolist(),
        mine.detach().tolist(),
        mine.grad.tolist(),
        agreed(rank != 1),
        summed([rank, 1]),
        largest(rank),
    )


def test_uneven_parts_are_gathered_in_order_with_their_gradients():
    for rank, (whole, mine, gradient, decision, sums, most) in enumerate(in_processes(_gathered, processes=3)):
        assert whole == [[i, i] for i in range(1, 6)]
        assert np.allclose(gradient, 2 * np.array(mine) / 5)
        assert mine[0] == [rank + 1, rank + 1]
        assert (decision, sums, most) == (True, [3, 3], 2)


def _unequal_parts():
    with pytest.raises(RuntimeError, match="images of a batch of 5"):
        Share.of([1, 4][dist.get_rank()])


def test_a_batch_that_is_shared_in_another_way_is_refused():
    in_processes(_unequal_parts)


# Batch normalization.


def _inputs(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 3, 4, 6, generator=generator, dtype=torch.float64) * 0.1 + 300  # far from 0
    return images.to(dtype), torch.randn(5, 3, 4, 6, generator=generator, dtype=torch.float64).to(dtype)


def _norm(dtype):
    norm = nn.BatchNorm2d(3).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1, 2]))
        norm.bias.copy_(torch.tensor([0, 1, -1]))
    return norm


def _normalized(dtype):
    share = Share(dist.get_rank(), 2, 5)
    images, factors = map(share.mine, _inputs(dtype))
    images.requires_grad_()
    norm = _norm(dtype)
    F.batch_norm = over_all_processes(F.batch_norm)
    output = norm(images)
    (output * factors).sum().backward()
    gradients = [norm.weight.grad, norm.bias.grad]
    for each in gradients:
        dist.all_reduce(each)
    whole = [share.whole(each).detach() for each in (output, images.grad)]
    return [each.double().numpy() for each in (*whole, *gradients, norm.running_mean, norm.running_var)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_batch_normalization_over_uneven_parts(dtype, tolerance):
    images, factors = _inputs(dtype)
    images.requires_grad_()
    norm = _norm(dtype)
    output = norm(images)
    (output * factors).sum().backward()
    expected = [output.detach(), images.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    for found in in_processes(_normalized, dtype):
        for wanted, each in zip(expected, found, strict=True):
            assert np.allclose(each, wanted.double().numpy(), rtol=tolerance, atol=tolerance)


# Random draws.

DRAWS = {
    "dropout": lambda x: F.dropout(x, 0.3),
    "dropout of a transposed map": lambda x: F.dropout(x.transpose(1, 2), 0.3),
    "dropout in channels last": lambda x: F.dropout(x.contiguous(memory_format=torch.channels_last), 0.3),
    "dropout of windows": lambda x: F.dropout(x.reshape(2 * len(x), -1), 0.3).view_as(x),
    "dropout2d": lambda x: F.dropout2d(x, 0.5),
    "dropout in evaluation": lambda x: F.dropout(x, 0.3, training=False),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.3, training=True),
    "feature alpha dropout": lambda x: F.feature_alpha_dropout(x, 0.3, training=True),
    "stochastic depth of mmcv": lambda x: x * (0.7 + torch.rand((len(x), 1, 1, 1))).floor(),
    "stochastic depth of timm": lambda x: x * x.new_empty((len(x), 1, 1, 1)).bernoulli_(0.7),
    "numbers of each image": lambda x: torch.rand(len(x), 7)[:, :6].view(len(x), 6, 1, 1) * torch.ones_like(x),
    "numbers of a size": lambda x: torch.randn(size=(len(x), 1, 1, 1)) * x,
    "integers": lambda x: torch.randint(0, 9, (len(x), 1, 1, 1)) * x,
    "noise": lambda x: x + torch.randn_like(x),
    "chances": lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
    "attention": lambda x: _attention(x),
    "a number for all": lambda x: x * torch.rand(1),
    "numbers of channels": lambda x: x * torch.rand(6, 1, 1),
}


def _attention(x):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        attention = nn.MultiheadAttention(6, 2, dropout=0.4, batch_first=True)
    tokens = x.flatten(2).transpose(1, 2)
    return attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


def _images():
    return torch.arange(1.0, 1 + 5 * 6 * 4 * 4).view(5, 6, 4, 4) / 480


def _drawn():
    share, found = Share(dist.get_rank(), 2, 5), {}
    for name, draw in DRAWS.items():
        torch.manual_seed(3)
        with draws.of_whole_batch(share):
            found[name] = draw(share.mine(_images())).detach()
        after = torch.rand(1).item()
        found[name] = share.whole(found[name].contiguous()).numpy(), after
    return found


def test_every_process_draws_its_part_of_what_one_draws():
    for found in in_processes(_drawn):
        for name, draw in DRAWS.items():
            torch.manual_seed(3)
            expected = draw(_images()).detach()
            drawn, after = found[name]
            assert np.allclose(drawn, expected.numpy(), atol=1e-6), name
            assert after == torch.rand(1).item(), f"{name} leaves the generator in another state"


def test_functions_are_restored():
    before = torch.rand, F.dropout, torch.Tensor.normal_
    with draws.of_whole_batch(Share(0, 2, 4)):
        assert torch.rand is not before[0]
    assert (torch.rand, F.dropout, torch.Tensor.normal_) == before


# Training.


class _Enough(Exception):
    pass


def losses(architecture, iterations, folder, double, changes=None):
    """Return the losses of the first iterations, and the sum of the weights after them."""
    config = compose.compose(architecture, "shapes_64x64_smoke", max_iters=20, deterministic=True)
    for name, value in (changes or {}).items():
        config.merge_from_dict({name: value})
    session = Session(config, Path(folder))
    loop, model, found = session.runner.train_loop, session.runner.model, []
    if double:
        model.double()
        prepared = step.prepared

        def precise(*arguments):
            inputs = prepared(*arguments)
            return inputs | {"inputs": inputs["inputs"].double()}

        step.prepared = precise
    run_iter = loop.run_iter

    def watched(batch):
        made = loop.step
        if not found:
            loop.step = lambda batch: found.append(made(batch)) or found[-1]
        run_iter(batch)
        if len(found) == iterations:
            raise _Enough

    loop.run_iter = watched
    with pytest.raises(_Enough):
        session.train()
    return [float(loss) for loss in found], {name: each.double().numpy() for name, each in model.state_dict().items()}


def test_twenty_iterations_agree(tmp_path):
    alone = in_processes(losses, "espnet", 20, tmp_path / "1", True, processes=1)[0]
    shared = in_processes(losses, "espnet", 20, tmp_path / "2", True)
    for found in shared:
        assert np.allclose(found[0], alone[0], rtol=1e-11, atol=0)
        assert found[0] == shared[0][0]
        for name, value in found[1].items():
            assert np.array_equal(value, shared[0][1][name]), name


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("enet", {}),
        pytest.param("pspnet_r50-d8", {}, marks=pytest.mark.slow),
        ("pointrend_fpn_r50", {}),
        ("espnet-a", {"model.decode_head.sampler": {"type": "OHEMPixelSampler", "thresh": 0.7, "min_kept": 50}}),
        ("espnet-a", {"model.decode_head.loss_decode": {"_delete_": True, "type": "LovaszLoss", "reduction": "none"}}),
        ("espnet-a", {"model.decode_head.loss_decode": {"_delete_": True, "type": "DiceLoss", "use_sigmoid": False}}),
    ],
    ids=["dropout2d", "auxiliary head and dropout", "sampled points", "OHEM", "Lovasz", "Dice"],
)
def test_kinds_of_networks_and_losses(tmp_path, architecture, changes):
    double = architecture != "pointrend_fpn_r50" and "LovaszLoss" not in str(changes)  # which compute in float32
    alone = in_processes(losses, architecture, 2, tmp_path / "1", double, changes, processes=1)[0]
    for found in in_processes(losses, architecture, 2, tmp_path / "3", double, changes, processes=3):
        assert np.allclose(found[0], alone[0], rtol=1e-7 if double else 1e-4, atol=0)


class Silent(nn.Module):
    """A network whose loss has no scores."""


def test_a_network_without_scores_is_refused():
    with pytest.raises(UserError, match=r"Silent computes its loss in a way .* --gpus 1"):
        SharedStep(Silent(), None)


def _evaluated(folder, weights):
    session = Session(compose.compose("espnet", "shapes_64x64_smoke", deterministic=True), Path(folder))
    torch.manual_seed(int(weights))
    with torch.no_grad():
        for each in session.runner.model.parameters():
            each.normal_(std=0.3)
    keep = ["test_0003", "test_0000", *_names(session)[1:4]]
    found = session.evaluate("test", keep=keep)
    return found.names, found.counts, list(found.predictions.items())


def _names(session):
    return list(session.runner.test_dataloader.dataset.source.names)


def test_evaluation_is_that_of_one_process_to_the_last_digit(tmp_path):
    names, counts, predictions = in_processes(_evaluated, tmp_path / "1", 1, processes=1)[0]
    assert len(names) % 3  # an uneven number of images
    for processes in (2, 3):
        first, *_ = in_processes(_evaluated, tmp_path / str(processes), 1, processes=processes)
        assert first[0] == names
        assert np.array_equal(first[1], counts)
        assert [name for name, _ in first[2]] == [name for name, _ in predictions]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first[2], predictions, strict=True))


def _with_nan(folder):
    session = Session(compose.compose("espnet", "shapes_64x64_smoke", deterministic=True), Path(folder))
    if dist.get_rank() == 1:
        with torch.no_grad():
            next(session.runner.model.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="NaN in") as raised:
        session.evaluate("test")
    return [str(raised.value)]


def test_all_processes_end_if_scores_of_one_are_nan(tmp_path):
    (found,), (other,) = in_processes(_with_nan, tmp_path)
    assert found == other


def _two_stages(folder, protocol):
    session = Session(compose.compose("enet", protocol, deterministic=True), Path(folder))
    trained = session.train()
    return session.first_stage.loss, trained.loss, len(trained.val_miou)


def test_both_of_two_stages_are_shared(two_stages, tmp_path):
    alone = in_processes(_two_stages, tmp_path / "1", two_stages, processes=1)[0]
    for found in in_processes(_two_stages, tmp_path / "2", two_stages):
        assert np.allclose(found[0], alone[0], rtol=1e-4)
        assert np.allclose(found[1], alone[1], rtol=1e-2)
        assert found[2] == alone[2]
