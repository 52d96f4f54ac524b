"""How torch computes in this process: threads, precision of products, determinism, memory.

Everything that decides it is set here, explicitly, because torch's own defaults differ between a
CPU and a GPU, and between its convolutions and its matrix products.
"""

import ctypes
import os
import resource

import torch

from hdkd.config import Engine
from hdkd.runs.records import Numerics

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


def set_up(engine: Engine, device: str, threads: int | None = None) -> Numerics:
    """Set this process up for ``cpu`` or ``cuda``, on ``threads`` of the CPU; returns what holds.

    A CPU computes in float32, deterministically. A GPU computes in ``engine.precision``:
    ``bfloat16`` is that of a training step's passes (:class:`hdkd.training.engine.Step`), while
    evaluation stays in float32. Where ``engine.deterministic`` is off, cuDNN tries its kernels and
    takes the quickest, and two runs differ by rounding; where it is on, an operation without a
    deterministic kernel raises ``RuntimeError``.
    """
    if threads:
        torch.set_num_threads(threads)
    on_gpu = device == "cuda"
    if not on_gpu:
        keep_freed_memory()
    tf32 = on_gpu and engine.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    deterministic = engine.deterministic or not on_gpu
    torch.backends.cudnn.benchmark = on_gpu and not deterministic
    if on_gpu:
        # Without it cuBLAS may vary. A process reads it once, before its first product of matrices.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        # Its gradient varies.
        torch.backends.cuda.enable_mem_efficient_sdp(not deterministic)
    if on_gpu and deterministic:
        torch.set_deterministic_debug_mode("error")
    else:
        torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    # Nothing here reads memory before it writes it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by torch, not declared
    return Numerics(
        precision=engine.precision if on_gpu else "float32",
        tf32=tf32,
        deterministic=deterministic,
        cudnn_benchmark=on_gpu and not deterministic,
    )


def keep_freed_memory() -> None:
    """Have glibc keep what the main thread frees: the next step takes as much again.

    Otherwise the largest maps go back to the system, which clears every page before it gives them
    again (`reports/benchmarks.md`, "without keeping freed memory"). Other libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def peak_memory(device: str) -> int:
    """Most bytes that this process has had so far, of the GPU's memory or of the machine's."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
