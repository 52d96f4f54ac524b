"""Steps on a GPU: recorded, in bfloat16, of every network, beside those of a CPU."""

import collections
import multiprocessing
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from hdkd.config import Engine, Training, methods
from hdkd.data.batches.loader import Batch, as_it_is
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Teaching, build_method
from hdkd.errors import RunError
from hdkd.models import build
from hdkd.study.names import BASELINES
from hdkd.training.engine import EAGER_STEPS, LAYOUTS, Step
from hdkd.training.numerics import set_up
from hdkd.training.schedule import build_optimizer
from small import AUGMENTATION, DISTILLATION, ENGINE, epochs_of

EAGER = replace(ENGINE, precision="float32")
RECORDED = replace(ENGINE, cuda_graph=True)
HALF = replace(RECORDED, precision="bfloat16")
TRAINING = Training("adamw", 1e-4, 1e-4, 1e-4, 0, 0.05, 1, 4, 1)


def equal_losses(found, expected, tolerance: float) -> None:
    """Mean losses, epoch by epoch, up to a relative ``tolerance``."""
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("loss", "features"):
            assert ours[name] == pytest.approx(theirs[name], rel=tolerance), name


def test_a_gpu_computes_the_losses_of_a_cpu(source, device):
    set_up(EAGER, device)
    expected, _ = epochs_of(source)
    found, _ = epochs_of(source, EAGER, device)
    equal_losses(found, expected, 2e-3)


@pytest.mark.parametrize("resident", [True, False], ids=["resident", "gathered"])
def test_a_recorded_step_computes_what_an_eager_one_does(source, device, resident):
    """Two batches of four images in each epoch, and one of the five left over: two recordings."""
    set_up(RECORDED, device)
    expected, _ = epochs_of(source, EAGER, device, resident=resident)
    found, _ = epochs_of(source, RECORDED, device, resident=resident)
    equal_losses(found, expected, 1e-3)


@contextmanager
def memory_is_pinned(device: str) -> Iterator[None]:
    """Another thread pins memory all the time, as the one that gathers batches may."""
    ended = threading.Event()

    def pin() -> None:
        held = collections.deque(
            maxlen=500
        )  # or memory that was pinned before would be given again
        while not ended.is_set():
            held.append(torch.empty(4096).pin_memory())

    thread = threading.Thread(target=pin, daemon=True)
    if device == "cuda":
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if device == "cuda":
            thread.join()


def test_memory_that_is_pinned_meanwhile_does_not_end_a_recording(source, device):
    set_up(RECORDED, device)
    expected, _ = epochs_of(source, RECORDED, device)
    with memory_is_pinned(device):
        found, _ = epochs_of(source, RECORDED, device)
    equal_losses(found, expected, 1e-3)


def test_a_batch_and_the_images_left_over_have_a_recording_each(device):
    set_up(RECORDED, device)
    model = build("student", num_classes=2, image_size=32, in_channels=1).to(device).train()
    step = Step(model, build_optimizer(model, TRAINING), AUGMENTATION, RECORDED, device)
    for count in [4, 5] * (EAGER_STEPS + 2):
        step(*small_batch(count, 1, 32, device))
    recorded = sorted(step._graphs._recorded) if device == "cuda" else [4, 5]
    assert recorded == [4, 5]
    assert step.finite_steps.item() == 2 * (EAGER_STEPS + 2)


def small_batch(count: int, channels: int, size: int, device: str) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator)
    draws = torch.rand(count, 8, generator=generator)
    return images.to(torch.uint8).to(device), (torch.arange(count) % 2).to(device), draws.to(device)


def losses_of(role: str, engine: Engine, device: str, size: int = 64) -> list[float]:
    """Losses of some steps of a network of the paper's size on the same batch."""
    torch.manual_seed(0)
    model = build(role, num_classes=2, image_size=size, in_channels=3).to(device).train()
    teaching = None
    if role == "hdkd":
        teacher = build("teacher", num_classes=2, image_size=size, in_channels=3)
        teaching = Teaching(teacher, HDKD(DISTILLATION))
    step = Step(model, build_optimizer(model, TRAINING), AUGMENTATION, engine, device, teaching)
    found = []
    for _ in range(6):
        torch.manual_seed(1)  # of dropout, alike in all
        step(*small_batch(4, 3, size, device))
        found.append(step.means(4)["loss"])
    return found


def taught_losses_of(name: str, network: str, engine: Engine, device: str) -> list[float]:
    """Losses of steps of a small student that a method teaches, from first to last epoch."""
    torch.manual_seed(0)
    image = {"num_classes": 4, "image_size": 32, "in_channels": 1}
    common = {"channels": (8, 16, 24), "depths": (1, 1, 1)}
    sizes = {
        "hybrid": common
        | {"layers": 2, "patch_size": 1, "embed_dim": 8, "heads": 2, "head_dim": 4},
        "vit": {"patch_pixels": 8, "layers": 2, "embed_dim": 8, "heads": 2},
    }
    about = methods()[name]
    model = build(network, **image, **sizes[network], predicting=about.predicting)
    teacher = build("teacher", **image, **common) if about.taught else None
    method = build_method(name, model, teacher, (1, 32, 32), DISTILLATION).to(device)
    optimizer = build_optimizer(model.to(device).train(), TRAINING, method)
    teaching = Teaching(teacher, method)
    step = Step(model, optimizer, AUGMENTATION, engine, device, teaching)
    found = []
    for k in range(6):
        step.progress.fill_(k / 6)  # which a recorded step has to see
        step(*small_batch(8, 1, 32, device))
        found.append(step.means(8)["loss"])
    return found


TAUGHT = [(name, network) for name, about in methods().items() for network in about.networks]


@pytest.mark.parametrize(("name", "network"), TAUGHT)
def test_every_method_can_be_recorded(name, network, device):
    set_up(RECORDED, device)
    expected, found = (
        taught_losses_of(name, network, engine, device) for engine in (EAGER, RECORDED)
    )
    assert found == pytest.approx(expected, rel=5e-3)


def message_of_a_step_that_waits(device: str) -> str:
    """What is raised where a step does what a recording must not; empty where nothing is."""

    def waits(*batch: torch.Tensor) -> Batch:
        if device == "cuda":
            torch.cuda.synchronize()
        return as_it_is(*batch)

    model = build("student", num_classes=2, image_size=32, in_channels=1).to(device)
    step = Step(
        model, build_optimizer(model, TRAINING), AUGMENTATION, RECORDED, device, None, waits
    )
    try:
        for _ in range(EAGER_STEPS + 1):
            step(*small_batch(4, 1, 32, device))
    except RunError as error:
        return str(error)
    return ""


def test_a_step_that_cannot_be_recorded_says_why_and_what_to_do(device):
    """In a process of its own, because torch 2.11 leaves its state behind."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        message = pool.submit(message_of_a_step_that_waits, device).result()
    expected = (
        r"CUDA graph \(engine\.py, line \d+: .+\): set engine.cuda_graph"
        if device == "cuda"
        else "^$"
    )
    assert re.search(expected, message)


NETWORKS = ["teacher", "student", "hdkd", *BASELINES]


@pytest.mark.parametrize("role", NETWORKS)
def test_every_network_can_be_recorded(role, device):
    """A replay draws dropout from the seed that is set before it, as an eager step does."""
    set_up(RECORDED, device)
    expected, found = (losses_of(role, engine, device) for engine in (EAGER, RECORDED))
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("role", ["teacher", "hdkd"])
def test_bfloat16_computes_the_losses_of_float32_at_224_pixels(role, device):
    set_up(HALF, device)
    expected, found = (losses_of(role, engine, device, 224) for engine in (EAGER, HALF))
    assert found == pytest.approx(expected, rel=3e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_agree(source, device, layout):
    set_up(RECORDED, device)
    expected, _ = epochs_of(source, EAGER, device)
    found, _ = epochs_of(source, replace(RECORDED, layout=layout), device)
    equal_losses(found, expected, 1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_deterministic_runs_are_equal_bit_for_bit(source, device, precision):
    engine = replace(RECORDED, precision=precision, deterministic=True)
    set_up(engine, device)
    try:
        (_, first), (_, second) = (epochs_of(source, engine, device) for _ in range(2))
    finally:
        set_up(EAGER, device)
    assert all(torch.equal(first[name], second[name]) for name in first)
