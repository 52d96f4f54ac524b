"""One run in several processes: what it computes is what one process would."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import sharing
from hdkd.data.batches.loader import Loader, Share
from hdkd.errors import RunError
from hdkd.training.parallel import SharedBatchNorm, share_statistics
from project import ROOT
from small import SIZES, TRAINING, noise, setup


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What each of two processes has after the same training, by its rank."""
    folder = tmp_path_factory.mktemp("shared")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run(
        [sys.executable, *command, ROOT / "tests/sharing.py", folder], check=True, env=environment
    )
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def test_two_processes_lose_what_one_loses_with_the_same_batch(shared):
    alone, _ = sharing.trained()
    rows, _ = shared[0]
    for row, expected in zip(rows, alone, strict=True):
        for name in ("train_loss", "train_features", "train_accuracy", "validation_loss"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), name


def test_all_processes_have_the_same_weights(shared):
    (_, first), (_, second) = shared
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_only_the_first_process_evaluates(shared):
    assert all(row["validation_loss"] is None for row in shared[1][0])


@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_shares_are_disjoint_and_cover_a_batch(of):
    parts = [Share(rank, of).part(5, 12) for rank in range(of)]
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(5, 12))
    assert {part.stop - part.start for part in parts} <= {7 // of, -(-7 // of)}


def test_every_process_sees_the_images_that_one_alone_would_see():
    def batches(share: Share):
        generators = (torch.Generator().manual_seed(seed) for seed in (1, 2))
        training_set = setup(noise(), TRAINING).training_set
        return list(Loader(training_set, "cpu", share=share).epoch(4, *generators))

    halves = zip(batches(Share(0, 2)), batches(Share(1, 2)), strict=True)
    for whole, (first, second) in zip(batches(Share()), halves, strict=True):
        for one, *parts in zip(whole, first, second, strict=True):
            assert torch.equal(one, torch.cat(parts))


def test_a_batch_with_fewer_images_than_processes_is_refused():
    loader = Loader(setup(noise(), TRAINING).training_set, "cpu", share=Share(0, 8))
    with pytest.raises(RunError, match="a batch of 4 images cannot be shared by 8 processes"):
        loader.epoch(4, torch.Generator(), torch.Generator())


def test_left_over_images_that_do_not_give_each_process_one_join_the_batch_before():
    loader = Loader(setup(noise(), TRAINING).training_set, "cpu", share=Share(0, 4))
    batches = loader.epoch(5, torch.Generator(), torch.Generator())
    assert [len(labels) for _, labels, _ in batches] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (6, 3, 4, 5))]
)
def test_a_shared_normalisation_is_torchs_own_where_one_process_has_all(kind, shape):
    generator = torch.Generator().manual_seed(0)
    ordinary = nn.Sequential(kind(3, momentum=0.19))
    shared = nn.Sequential(kind(3, momentum=0.19))
    share_statistics(shared)
    assert type(shared[0]) is SharedBatchNorm
    images = torch.randn(shape, generator=generator) * 3 + 5
    results = []
    for network in (ordinary, shared):
        given = images.clone().requires_grad_()
        output = network(given)
        (output**3).sum().backward()
        evaluated = network.eval()(images)
        results.append([output, evaluated, given.grad, network[0].weight.grad, *network.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_sharing_keeps_the_parameters_that_an_optimiser_knows():
    from hdkd.models import build

    network = build("teacher", **SIZES)
    before, names = list(network.parameters()), list(network.state_dict())
    share_statistics(network)
    assert all(one is other for one, other in zip(before, network.parameters(), strict=True))
    assert list(network.state_dict()) == names


def test_a_normalisation_of_another_kind_is_refused():
    class Other(nn.BatchNorm2d):
        pass

    with pytest.raises(RunError, match="Other cannot be shared by several processes"):
        share_statistics(nn.Sequential(Other(3)))
