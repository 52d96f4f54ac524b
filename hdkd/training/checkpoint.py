"""The state of an unfinished run, from which it resumes exactly.

A checkpoint is one file beside the run folder's own, or at the same place below the folder that the
variable ``HDKD_CHECKPOINTS`` names, where run folders are lost with their machine. It is written
atomically, carries a checksum, and is removed when the run is finished. Snakemake does not know of
it as an output, so nothing removes it when a run is killed. Nothing in it is ever unpickled. The
header is a tensor, because safetensors reads its own metadata from files only, not from bytes whose
checksum has been compared.
"""

import hashlib
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import filelock
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from typing_extensions import override

from hdkd.errors import RunError, first_few
from hdkd.files import write_atomic
from hdkd.training.kept import KeptWeights

CHECKPOINT = "checkpoint.bin"
CHECKPOINTS = "HDKD_CHECKPOINTS"
DIGEST_BYTES = hashlib.sha256().digest_size


def checkpoint_of(folder: Path) -> Path:
    """The checkpoint of a run folder, whether there is one or not."""
    elsewhere = os.environ.get(CHECKPOINTS)
    if elsewhere:
        folder = Path(elsewhere) / folder.as_posix().lstrip("/")
    return folder / CHECKPOINT


def epochs_in(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 where there is none, or a damaged one."""
    found = _content(path) if path.exists() else None
    return found[0]["finished"] if found else 0


def settings_in(path: Path) -> dict[str, Any] | None:
    """What a checkpoint was made with, without machine and code; ``None`` for a damaged one."""
    found = _content(path)
    fingerprint = found[0]["fingerprint"] if found else None
    if not isinstance(fingerprint, dict):  # of an earlier version
        return None
    of_machine = ("torch", "device", "processes")
    return {
        name: value
        for name, value in fingerprint.items()
        if name not in of_machine and not name.startswith("hdkd/")
    }


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Header and tensors of a checkpoint; ``None`` where its checksum is wrong."""
    content = path.read_bytes()
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    tensors = load(body)
    return json.loads(bytes(tensors.pop("header").tolist())), tensors


def differences(before: dict[str, Any] | str, now: dict[str, Any]) -> str:
    """Settings that differ from those that the run was started with; no checksums."""
    if isinstance(before, str):
        return "an earlier version of this project"
    changed = []
    for name in before | now:
        if before.get(name, ...) != now.get(name, ...):
            values = [str(values.get(name, "nothing")) for values in (before, now)]
            old, new = ("another" if len(v) == 2 * DIGEST_BYTES else v for v in values)
            both = old == new == "another"
            changed.append(f"another {name}" if both else f"{name} {old} instead of {new}")
    return first_few(changed)


def lock_of(folder: Path) -> Path:
    """The lock beside the folder of a run's checkpoint; a removed lock could be held twice."""
    folder = checkpoint_of(folder).parent.resolve()
    return folder.with_name(f".{folder.name}.lock")


def is_locked(folder: Path) -> bool:
    """Whether a process is training in a run folder now."""
    if not lock_of(folder).exists():
        return False
    try:
        with filelock.FileLock(lock_of(folder), blocking=False):
            return False
    except filelock.Timeout:
        return True


@dataclass(frozen=True)
class State:
    """All that changes while a run trains; ``generators`` by what they draw.

    ``method`` is what the method of distillation learns itself.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generators: dict[str, torch.Generator]
    kept: KeptWeights
    method: nn.Module = field(default_factory=nn.Module)


class Checkpoint:
    """The checkpoint of one run folder; use it as a context, which holds the folder's lock.

    ``notes`` are values that JSON can hold, saved and restored with the state: what was already
    reported. ``finished`` counts the epochs that the saved state has behind it, 0 for a new start.
    ``fingerprint`` has what must not change when a run is resumed, by name, as texts and numbers;
    ``restart`` starts over, whatever is there. Saving may take ``share`` of the time: where epochs
    are too short for that, some are not saved, and are computed again after an interruption. Raises
    ``RunError`` when another process trains in the same folder, and when the checkpoint there has
    another fingerprint.
    """

    def __init__(
        self, folder: Path, fingerprint: dict[str, Any], share: float = 0.02, restart: bool = False
    ) -> None:
        self.path = checkpoint_of(folder)
        self.fingerprint = json.loads(json.dumps(fingerprint))
        self.restart = restart
        self.finished = 0
        self.notes: dict[str, Any] = {}
        self._lock = filelock.FileLock(lock_of(folder))
        self._loaded: tuple[dict[str, Any], dict[str, Tensor]] = {}, {}
        self._share = share
        self._save_seconds = 0.0  # what the last save took
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether another save stays within its share of the time."""
        return (time.monotonic() - self._saved_at) * self._share >= self._save_seconds

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(
                f"another process trains in {self.path.parent}: wait for it, or stop it"
            ) from None
        try:
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _read(self) -> None:
        """Load what is there, unless it is damaged. Raises ``RunError`` for another run's."""
        if self.restart:
            self.remove()
        if not self.path.exists():
            return
        found = _content(self.path)
        if found is None:
            print(f"{self.path} is damaged (its checksum is wrong): starting over", flush=True)
            return
        header, _ = self._loaded = found
        if header["fingerprint"] != self.fingerprint:
            changed = differences(header["fingerprint"], self.fingerprint)
            raise RunError(
                f"{self.path} was made with {changed}: "
                "continue it with what made it, or start over with --restart, or by removing it"
            )
        self.finished, self.notes = header["finished"], header["notes"]

    def restore(self, state: State) -> None:
        """Put what is saved, if there is anything, into the freshly built objects of ``state``."""
        if not self.finished:
            return
        header, tensors = self._loaded
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        state.model.load_state_dict(parts["model"])
        state.method.load_state_dict(parts["method"])
        _restore_optimizer(state.optimizer, parts["optimizer"])
        state.kept.epoch, state.kept.score = header["kept"]["epoch"], header["kept"]["score"]
        state.kept.state = parts["kept"]
        for name, generator in state.generators.items():
            generator.set_state(parts["random"][name])
        torch.set_rng_state(parts["random"]["torch"])
        if "cuda" in parts["random"]:
            torch.cuda.set_rng_state(parts["random"]["cuda"])
        self._loaded = {}, {}

    def save(self, finished: int, state: State) -> None:
        """Write the state after ``finished`` epochs, with every random stream and the notes."""
        started = time.monotonic()
        tensors = {f"model/{name}": t for name, t in state.model.state_dict().items()}
        tensors |= {f"method/{name}": t for name, t in state.method.state_dict().items()}
        for index, fields in state.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{field}": t for field, t in fields.items()}
        tensors |= {f"random/{name}": g.get_state() for name, g in state.generators.items()}
        tensors |= {f"kept/{name}": tensor for name, tensor in state.kept.state.items()}
        tensors["random/torch"] = torch.get_rng_state()
        if next(state.model.parameters()).is_cuda:
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        header = {
            "fingerprint": self.fingerprint,
            "finished": finished,
            "kept": {"epoch": state.kept.epoch, "score": state.kept.score},
            "notes": self.notes,
        }
        tensors["header"] = torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)
        body = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
        write_atomic(self.path, hashlib.sha256(body).digest() + body)
        self.finished = finished
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - started

    def remove(self) -> None:
        """Remove the file, because the run is finished or starts over."""
        self.path.unlink(missing_ok=True)


class Followed(Checkpoint):
    """The checkpoint of a run that another process leads: read once, never written."""

    due = False

    @override
    def __enter__(self) -> Self:
        self._read()
        return self

    @override
    def save(self, finished: int, state: State) -> None:
        """Leave that to the one that leads."""

    @override
    def remove(self) -> None:
        """Leave that to the one that leads."""


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Put back tensors that are named ``index of the parameter/field``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in saved.items():
        index, _, field = name.partition("/")
        like = parameters[int(index)]
        # Fused steps go through memory as it lies, so it must lie as the parameter does.
        alike = tensor.ndim and tensor.shape == like.shape
        state[int(index)][field] = torch.empty_like(like).copy_(tensor) if alike else tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
