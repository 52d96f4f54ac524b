"""What a step asks of the machine, what the machine can do, and where the time goes."""

import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import networks
from benchmarks.measure import table
from benchmarks.settings import Settings
from hdkd.models.complexity import complexity
from hdkd.training.numerics import set_up

KINDS = {
    "convolutions": ("mkldnn_convolution", "convolution_backward", "_slow_conv2d", "thnn_conv2d"),
    "matrix products": ("aten::mm", "addmm", "aten::bmm", "aten::linear", "scaled_dot_product"),
    "GELU": ("gelu",),
    "normalisation": ("batch_norm", "layer_norm"),
    "attention's maps": (
        "aten::mul",
        "addcmul",
        "aten::max",
        "amax",
        "scatter",
        "aten::sum",
        "mean",
    ),
    "loss and optimiser": ("mse_loss", "fused_adam", "kl_div", "log_softmax", "nll_loss"),
}


def roofline(settings: Settings) -> str:
    """Operations per second of HDKD's step against the best that a matrix product reaches here."""
    set_up(networks.ENGINE, "cpu", settings.threads)
    size = settings.sizes[-1]
    count = settings.step_batch(size)
    macs = count * (
        3 * complexity(networks.network("hdkd", size), size).macs
        + complexity(networks.network("teacher", size), size).macs
    )
    step = networks.step("hdkd", size, count)
    images, labels = networks.batch(count, size)
    images = images.contiguous(memory_format=torch.channels_last)
    step.update(images, labels)
    seconds = best(lambda: step.update(images, labels), settings.rounds)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step.update(images, labels)
    events = profiled.key_averages()
    shares: dict[str, float] = defaultdict(float)
    for event in events:
        kind = next((k for k, names in KINDS.items() if any(n in event.key for n in names)), "else")
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    product, copy = ceilings(settings)
    rows = [
        ["multiply-accumulates of a step", f"{macs / 1e9:.0f} G"],
        ["its time", f"{seconds:.2f} s"],
        ["reached", f"{2 * macs / seconds / 1e9:.0f} GFLOP/s"],
        ["a large matrix product reaches", f"{product / 1e9:.0f} GFLOP/s"],
        ["share of that", f"{200 * macs / seconds / product:.0f} %"],
        ["copying memory reaches", f"{copy / 1e9:.1f} GB/s"],
    ]
    rows += [
        [f"time in {kind}", f"{100 * share / total:.0f} %"]
        for kind, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    return table([f"HDKD's step, {size} px, batch {count}", ""], rows) + (
        "\n\nMultiply-accumulates as the paper counts them, the backward pass as two forward "
        "passes. Depthwise convolutions and everything that is neither convolution nor matrix "
        "product are bound by memory: they do a few operations for each number that they read."
    )


def ceilings(settings: Settings) -> tuple[float, float]:
    """Operations per second of a matrix product, bytes per second of a copy (read and written)."""
    side = 2048 if settings.rounds > 1 else 256
    a, b = torch.randn(side, side), torch.randn(side, side)
    product = 2 * side**3 / best(lambda: a @ b, 5)
    source = torch.empty(side * side * 16)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / best(lambda: target.copy_(source), 5)
    return product, copy


def best(action: Callable[[], object], rounds: int) -> float:
    """The least seconds of a few rounds: what the machine can do."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
