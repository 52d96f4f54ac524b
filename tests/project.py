"""Copies of the project with a configuration so small that the whole graph takes seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from hdkd.config import Dataset
from hdkd.runs import evidence
from hdkd.study.plan import LEDGER_PROFILES

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "dvc.yaml", "params.yaml", "pyproject.toml", ".gitignore", ".dvcignore")
FOLDERS = ("workflow", "hdkd", "profiles")
# The profiles with committed evidence, and the documents that quote it.
PROFILES = [
    profile
    for profile in LEDGER_PROFILES
    if (ROOT / "reports" / profile / evidence.SUMMARIES).exists()
]
DOCUMENTS = [
    ROOT / name for name in ("README.md", "docs/results.md", "docs/pilot.md", "docs/reduced.md")
]


def parameters() -> dict:
    """The project's own parameters, to change at will."""
    return separate(yaml.safe_load((ROOT / "params.yaml").read_text()))


def separate(value: Any) -> Any:
    """A copy in which no two places share an object, as an alias of YAML and its anchor do."""
    if isinstance(value, dict):
        return {name: separate(inner) for name, inner in value.items()}
    return [separate(inner) for inner in value] if isinstance(value, list) else value


def own_images(path: Path | None = None, **changes) -> Dataset:
    """The parameters' dataset ``folder`` with its images at ``path`` and with ``changes``."""
    source = {"kind": "local", "path": path and str(path), "variable": "HDKD_TEST_SOURCE"}
    folder = parameters()["datasets"]["folder"]
    return Dataset(**folder | {"source": source} | changes)


def tiny(parameters: dict) -> dict:
    """The demo profile shrunk to 42 training images and one epoch."""
    phantom = parameters["datasets"]["phantom"]
    phantom["source"]["size"] = 32
    for name, count in (("none", 14), ("glioma", 10), ("meningioma", 10), ("pituitary", 8)):
        phantom["classes"][name] = {"train": count, "test": 4}
    for name in ("phantom", "folder"):
        parameters["datasets"][name]["subsets"] = [16, "all"]
    parameters["sweep"]["shared"]["seeds"] = [0]
    parameters["sweep"]["demo"]["seeds_by_subset"] = {}
    parameters["network"]["demo"] |= {"channels": [8, 8, 16], "embed_dim": 8, "head_dim": 2}
    parameters["teacher"]["demo"] |= {"epochs": 2, "evaluate_every": 1}
    parameters["student"]["demo"] |= {
        "epochs": 2, "epoch_images": None, "evaluate_every": 1,
    }  # fmt: skip
    parameters["ablations"]["demo"] = {
        "subset": 16,
        "variants": [{"block": "mbconv", "stem_stride": 2}],
        "distillation": {
            "datasets": ["phantom"],
            "subset": 16,
            "seeds": [0],
            "points": {"hard_labels": {"targets": "hard"}},
        },
    }
    parameters["baselines"]["demo"] = {"models": ["mobilenet_v2"]}
    return without_controls(parameters)


def without_controls(parameters: dict) -> dict:
    """A demo without controls, tuning and methods, so that its subsets can be changed."""
    parameters["methods"]["demo"] = {}
    parameters["ablations"]["demo"]["controls"] = None
    parameters["tuning"]["demo"] = {"grid": []}
    return parameters


def with_controls(parameters: dict) -> dict:
    """Tiny parameters with every control, and a tuning of two trials for each method."""
    controls = {"datasets": ["phantom"], "subset": 16, "seeds": [0], "teacher_seeds": [1]}
    parameters["ablations"]["demo"]["controls"] = controls
    parameters["tuning"]["demo"] = {
        "datasets": ["phantom"], "subset": 16, "grid": [{"lr": 0.002}, {"lr": 0.004}],
    }  # fmt: skip
    return parameters


class Project:
    """A copy of the project in a folder of its own, run through its own commands."""

    def __init__(self, folder: Path, parameters: dict) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copy(ROOT / name, folder / name)
        for name in FOLDERS:
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        self.write(parameters)

    @classmethod
    def existing(cls, folder: Path) -> "Project":
        """A copy that is there already, as a clone is."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def write(self, parameters: dict) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))

    @property
    def parameters(self) -> dict:
        return separate(yaml.safe_load((self.folder / "params.yaml").read_text()))

    def environment(self, **variables: str) -> dict[str, str]:
        """Variables for commands in this copy, without what earlier tests or the user have set."""
        binaries = Path(sys.executable).parent
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "HDKD_"))},
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
            "OMP_NUM_THREADS": "1",
            **variables,
        }

    def run(self, *command: str, check: bool = True, **variables: str):
        """Run a command of the environment in this copy; its output is text."""
        environment = self.environment(**variables)
        result = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(command)} exited with {result.returncode}\n"
                f"{result.stdout[-3000:]}\n{result.stderr[-6000:]}"
            )
        return result

    def snakemake(self, *arguments: str, check: bool = True, **variables: str):
        return self.run("snakemake", "--cores", "2", *arguments, check=check, **variables)

    def planned_rules(self, *arguments: str) -> set[str]:
        """Names of the rules that a dry run would execute."""
        output = self.snakemake("--dry-run", "all", *arguments)
        jobs = output.stdout + output.stderr
        rows = jobs.partition("Job stats:")[2].splitlines()[3:]
        names = set()
        for row in rows:
            if not row.strip():
                break
            names.add(row.split()[0])
        return names - {"total"}


def repository_of(folder: Path, parameters: dict) -> Project:
    """A git and DVC repository in which `dvc repro` has built everything."""
    project = Project(folder, parameters)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "config", "core.analytics", "false")
    project.run("dvc", "config", "core.check_update", "false")
    project.run("dvc", "repro")
    project.run("git", "add", "--all")
    # Git ignores the demo's reports, so that `git status` is clean after a demo; to share them, one
    # adds them.
    outputs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["report"]
    for path, options in (
        o for kind in ("outs", "metrics") for e in outputs[kind] for o in e.items()
    ):
        if options.get("cache") is False:
            project.run("git", "add", "--force", path.replace("${profile}", "demo"))
    project.run("git", "commit", "--quiet", "--message", "built")
    return project
