"""Bundles of unknown origin: what they name is a run folder, or nothing is touched."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from hdkd.errors import RunError
from hdkd.remote.bundle import add, unpack_bundle

RUN = "models/demo/students/phantom/student-mbcsa-s2/n80/seed0"


def bundle_of(folder: Path, unfinished: str) -> Path:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        add(tar, f"{unfinished}/checkpoint.bin", b"begun")
    part = gzip.compress(content.getvalue())
    folder.mkdir()
    (folder / "runs.tar.gz.000").write_bytes(part)
    parts = [{"name": "runs.tar.gz.000", "sha256": hashlib.sha256(part).hexdigest()}]
    manifest = {"profile": "demo", "parts": parts, "finished": [], "unfinished": [unfinished]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "models", "models/demo", RUN.rpartition("/")[0], f"{RUN}/more", RUN[:-1],
        "models/demo/../../models/student-mbcsa-s2/n80/seed0",
    ],
)  # fmt: skip
def test_what_is_no_run_folder_is_not_replaced(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = Path(RUN) / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    with pytest.raises(RunError, match=r"for a run folder: do not|be written outside its folder"):
        unpack_bundle(bundle_of(tmp_path / "bundle", name))
    assert kept.read_bytes() == b"weights"
