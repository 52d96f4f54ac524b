"""Training with the instruction sets of other CPUs, to which oneDNN can be restricted."""

import os
import subprocess
import sys

import pytest

from project import ROOT

pytestmark = pytest.mark.slow
TRAINING_TESTS = ("test_training.py", "test_checkpoint.py", "test_engine.py", "test_losses.py")
# The narrowest networks that are accepted, a few images, many steps: writes past memory show.
NARROWEST = """
import torch
from hdkd.models import build
torch.set_num_threads(1)
sizes = {"num_classes": 2, "image_size": 32, "in_channels": 1}
sizes |= {"channels": (8, 8, 8), "depths": (1, 1, 1)}
student = {"layers": 1, "patch_size": 1, "embed_dim": 8, "heads": 1, "head_dim": 8}
for role in ("teacher", "student", "hdkd"):
    for block in ("mbcsa", "mbconv"):
        for stride in (2, 4):
            more = {} if role == "teacher" else student
            model = build(role, **sizes, **more, block=block, stem_stride=stride)
            model = model.to(memory_format=torch.channels_last)
            for batch in (2, 3, 6) * 20:
                images = torch.randn(batch, 1, 32, 32).contiguous(memory_format=torch.channels_last)
                model.zero_grad()
                output = model(images)
                logits = [each for each in output[:2] if each is not None]
                sum(each.square().sum() for each in logits).backward()
                assert all(p.grad.isfinite().all() for p in model.parameters())
print("whole")
"""


def environment(instructions: str, **variables: str) -> dict[str, str]:
    return os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": "1"} | variables


@pytest.mark.parametrize("instructions", ["AVX2", "SSE41"])
def test_the_tests_of_training_pass_with(instructions):
    tests = [str(ROOT / "tests" / "unit" / name) for name in TRAINING_TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests],
        cwd=ROOT, env=environment(instructions), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize("instructions", ["AVX2", "SSE41", "ALL"])
def test_the_narrowest_networks_keep_to_their_memory(instructions):
    checked = {
        "LD_PRELOAD": "libc_malloc_debug.so.0",
        "GLIBC_TUNABLES": "glibc.malloc.check=3",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", NARROWEST],
        env=environment(instructions, **checked), capture_output=True, text=True,
    )  # fmt: skip
    assert "cannot be preloaded" not in done.stderr
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr[-2000:]
