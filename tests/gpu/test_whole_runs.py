"""Whole runs on a GPU: resumed, and several at once."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hdkd.config import Training
from hdkd.data.batches.loader import RUNS_ON_GPU
from hdkd.errors import UnfinishedError
from hdkd.models import build
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.loop import train
from hdkd.training.numerics import set_up
from small import ENGINE, epochs_of, noise, setup

ENGINE = replace(ENGINE, cuda_graph=True, deterministic=True)
TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 8, 4, 4)


def weights_after(device: str, folder: Path, stops: bool) -> dict[str, torch.Tensor]:
    """Those of a network with dropout, trained in one go or stopped after its first epoch."""
    source = noise()
    made = replace(setup(source, TRAINING), engine=ENGINE, device=device)
    folder.mkdir()
    deadlines = [0.0, None] if stops else [None]
    for deadline in deadlines:
        torch.manual_seed(0)
        model = build("mobilenet_v2", num_classes=2, image_size=16, in_channels=1)
        with Checkpoint(folder, {}) as checkpoint:
            try:
                train(model, made, lambda row: None, checkpoint, deadline)
            except UnfinishedError:
                assert deadline is not None
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def test_a_run_with_dropout_resumes_as_if_it_had_not_stopped(device, tmp_path):
    set_up(ENGINE, device)
    try:
        whole = weights_after(device, tmp_path / "whole", stops=False)
        resumed = weights_after(device, tmp_path / "resumed", stops=True)
    finally:
        set_up(replace(ENGINE, deterministic=False), device)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def losses(device: str, count: int) -> list[float]:
    os.environ[RUNS_ON_GPU] = str(count)
    set_up(ENGINE, device)
    found, _ = epochs_of(noise(), ENGINE, device)
    return [each["loss"] for each in found]


def at_once(device: str, count: int) -> list[list[float]]:
    """The losses of so many runs that train at the same time, each in a process of its own."""
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(losses, [device] * count, [count] * count))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_so_many_runs_share_a_gpu_and_compute_the_same(device, count):
    assert at_once(device, count) == at_once(device, 1) * count
