"""The state of an unfinished training, from which it continues exactly.

A checkpoint is one file beside the run folder's own. It is written whole or not at all, carries a
checksum, and is removed when the run is finished. It is no output that Snakemake knows of, so nothing
removes it when a training is killed. Nothing in it is ever unpickled.
"""

import fcntl
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hdkd.errors import RunError
from hdkd.files import write_whole

DIGEST_BYTES = hashlib.sha256().digest_size


def epochs_in(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 where there is none, or a damaged one."""
    found = _content(path) if path.exists() else None
    return found[0]["finished"] if found else 0


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Header and tensors of a checkpoint; ``None`` where its checksum is wrong."""
    content = path.read_bytes()
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    tensors = load(body)
    return json.loads(bytes(tensors.pop("header").tolist())), tensors


class Checkpoint:
    """The checkpoint of one run folder; use it as a context, which holds the folder's lock.

    ``notes`` are values that JSON can hold, saved and restored with the state: what was already
    reported. ``finished`` counts the epochs that the saved state has behind it, 0 for a new start.
    ``share`` of the time is what saving may take: where epochs are shorter than that, some are not saved
    and computed again after an interruption.
    Raises ``RunError`` when another process trains in the same folder.
    """

    def __init__(self, folder: Path, fingerprint: str, share: float = 0.02) -> None:
        self.path = folder / "checkpoint.bin"
        self.fingerprint = fingerprint
        self.finished = 0
        self.notes: dict[str, Any] = {}
        self._lock_path = folder / "checkpoint.lock"
        self._tensors: dict[str, Tensor] = {}
        self._share = share
        self._seconds = 0.0  # that the last saving took
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether saving once more stays within its share of the time."""
        return (time.monotonic() - self._saved) * self._share >= self._seconds

    def __enter__(self) -> Self:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock_path.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunError(
                f"another process trains in {self.path.parent}: wait for it, or stop it"
            ) from None
        self._read()
        return self

    def __exit__(self, *_) -> None:
        self._lock_path.unlink(missing_ok=True)
        self._lock.close()

    def _read(self) -> None:
        """Take over what is there, unless it is damaged or belongs to another training."""
        if not self.path.exists():
            return
        found = _content(self.path)
        if found is None:
            print(f"{self.path} is damaged (its checksum is wrong): starting anew", flush=True)
            return
        header, tensors = found
        if header["fingerprint"] != self.fingerprint:
            print(f"{self.path} is of other parameters, data or code: starting anew", flush=True)
            return
        self._tensors, self.finished, self.notes = tensors, header["finished"], header["notes"]

    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generators: dict[str, torch.Generator],
    ) -> None:
        """Put the saved state back, if there is one, into freshly built objects."""
        if not self.finished:
            return
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "random": {}}
        for name, tensor in self._tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        model.load_state_dict(parts["model"])
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, field = name.partition("/")
            like = parameters[int(index)]
            if tensor.shape == like.shape and tensor.ndim:
                # Fused steps go through memory as it lies, so it must lie as the parameter does.
                tensor = torch.empty_like(like).copy_(tensor)
            state.setdefault(int(index), {})[field] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for name, generator in generators.items():
            generator.set_state(parts["random"][name])
        torch.set_rng_state(parts["random"]["torch"])
        if "cuda" in parts["random"]:
            torch.cuda.set_rng_state(parts["random"]["cuda"])
        self._tensors = {}

    def save(
        self,
        finished: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generators: dict[str, torch.Generator],
    ) -> None:
        """Write the state after ``finished`` epochs, with every random stream and the notes."""
        started = time.monotonic()
        tensors = {f"model/{name}": t for name, t in model.state_dict().items()}
        for index, fields in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{field}": t for field, t in fields.items()}
        tensors |= {f"random/{name}": g.get_state() for name, g in generators.items()}
        tensors["random/torch"] = torch.get_rng_state()
        if next(model.parameters()).is_cuda:
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        header = {"fingerprint": self.fingerprint, "finished": finished, "notes": self.notes}
        tensors["header"] = torch.tensor(list(json.dumps(header).encode()), dtype=torch.uint8)
        body = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
        write_whole(self.path, hashlib.sha256(body).digest() + body)
        self.finished = finished
        self._saved = time.monotonic()
        self._seconds = self._saved - started

    def remove(self) -> None:
        """The run is finished: nothing is left to continue."""
        self.path.unlink(missing_ok=True)
