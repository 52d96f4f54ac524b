"""A small study of which models are exported, and the images of models that come along."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from hdkd import cli
from hdkd.study.key import RunKey
from project import ROOT, parameters, tiny

PREPARED = Path("data/prepared/demo/phantom")
OPTIONS = ["--params", "params.yaml", "--dataset", "phantom"]


def trained(folder: Path, validation_fraction: float) -> None:
    """A student of a few epochs in the run folder ``run``, from the images on."""
    chosen = tiny(parameters())
    chosen["split"]["demo"] = {"validation_fraction": validation_fraction}
    chosen["student"]["demo"]["epochs"] = 30
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))
    for command in ("acquire", "prepare", "split"):
        assert cli.main([command, *OPTIONS]) == 0
    train = ["train", *OPTIONS, "--no-tracking", "--threads", "1", "--role", "student"]
    assert cli.main([*train, "--output", "run"]) == 0


def hdkd(folder: Path, run: RunKey, *command: str) -> None:
    """A command for the dataset and profile of a run, in a folder."""
    options = ["--dataset", run.dataset, "--profile", run.profile]
    options += ["--params", str(ROOT / "params.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "hdkd", *command, *options], cwd=folder, env=environment, check=True
    )


def prepare_images(folder: Path, run: RunKey) -> None:
    """Those of a run, from the archive that the dataset's variable names."""
    for step in ("acquire", "prepare", "split"):
        hdkd(folder, run, step)
