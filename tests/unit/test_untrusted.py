"""What comes from elsewhere is data: nothing in it is executed, and nothing secret goes out."""

import io
import pickle
import re

import pytest
import torch

from hdkd.errors import RunError
from hdkd.files import write_checksums
from hdkd.models import build
from hdkd.runs.folder import RunFolder
from hdkd.study.plan import RUN_FILES
from hdkd.tracking.store import shown_uri, warn
from hdkd.training.checkpoint import Checkpoint
from project import ROOT
from small import SIZES, params_of


class Harmful:
    """Touches a file where it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run folder whose weights are still to be written."""
    folder = RunFolder(tmp_path / "run")
    folder.start(params_of("teacher"))
    return folder


def pickled(path) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": Harmful(path)}, file)
    return file.getvalue()


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_pickled_weights_are_refused_and_not_executed(run, tmp_path, form):
    mark = tmp_path / "executed"
    content = pickle.dumps(Harmful(mark)) if form == "pickle" else pickled(mark)
    (run.path / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors does not fit"):
        run.load_model()
    assert not mark.exists()


def test_a_pickled_checkpoint_is_not_executed(tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "checkpoint.bin").write_bytes(pickled(mark))
    with Checkpoint(tmp_path, {}) as checkpoint:
        assert checkpoint.finished == 0
    assert not mark.exists()


def test_weights_of_another_network_are_refused(run):
    other = build("teacher", **SIZES | {"channels": (8, 16, 32)})
    run.write_model(other)
    with pytest.raises(RunError, match=r"does not fit .*params\.json"):
        run.load_model()


@pytest.mark.parametrize("name", [name for name in RUN_FILES if name != "SHA256SUMS"])
def test_a_changed_file_of_a_run_folder_is_named(run, name):
    run.write_model(build("teacher", **SIZES))
    for other in ("metrics.csv", "predictions.csv", "summary.json"):
        (run.path / other).write_text("{}")
    write_checksums(run.path, RUN_FILES[:-1])
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match=rf"run/{name} is damaged .* train this run again"):
        _ = run.params, run.metrics, run.predictions, run.load_model(), run.summary


def test_credentials_in_the_tracking_uri_are_not_shown(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/")
    warn(ConnectionError("no answer from http://me:secret@127.0.0.1:9/ for me:secret@"))
    assert shown_uri() == "http://127.0.0.1:9/"
    shown = capsys.readouterr()
    assert "MLflow at http://127.0.0.1:9/ failed" in shown.err
    assert "secret" not in shown.out + shown.err


SOURCES = sorted([*(ROOT / "hdkd").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk")])


def test_nothing_unpickles_evaluates_or_runs_a_shell():
    forbidden = re.compile(
        r"torch\.load\(|pickle|(?<![.\w])(eval|exec)\(|yaml\.load\(|yaml\.unsafe|shell=True|os\.system|\|\s*safe"
    )
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if forbidden.search(line) and "unpickled" not in line
    }
    assert not found


def test_what_the_workflow_gives_a_shell_is_quoted():
    """Paths that a user or a dataset may choose; names that a pattern restricts need no quotes."""
    restricted = r"wildcards\.\w+|threads|params\.(dataset|options|launcher)"
    for path in SOURCES:
        if path.suffix == ".smk":
            for command in re.findall(r"shell:\n((?: +\".*\"\n)+)", path.read_text()):
                for field in re.findall(r"\{([^}]+)\}", command):
                    assert field.endswith(":q") or re.fullmatch(restricted, field), (path, field)
