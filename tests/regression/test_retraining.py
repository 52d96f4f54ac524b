"""A small fixed configuration, trained again, ends where it was recorded to end."""

import json

import pytest
import yaml

from hdkd.study.key import RunKey
from project import ROOT, Project, parameters, without_controls


def fixed(parameters: dict) -> dict:
    """The demo on a short schedule: a teacher, and student and HDKD on 200 images."""
    parameters["datasets"]["phantom"]["subsets"] = [200]
    parameters["sweep"]["shared"]["seeds"] = [0]
    parameters["sweep"]["demo"]["seeds_by_subset"] = {}
    parameters["teacher"]["demo"] |= {
        "epochs": 8, "batch_size": 64, "lr": 0.002, "min_lr": 0.002, "warmup_lr": 0.002,
    }  # fmt: skip
    parameters["student"]["demo"] |= {
        "epochs": 20, "epoch_images": None, "warmup_epochs": 5, "evaluate_every": 5,
        "batch_size": 32, "lr": 0.004, "min_lr": 2e-5, "warmup_lr": 2e-5,
    }  # fmt: skip
    parameters["ablations"]["demo"] |= {"variants": []}
    parameters["split"]["demo"] = {"validation_fraction": 0}
    return without_controls(parameters)


@pytest.mark.slow
def test_accuracies_are_in_their_recorded_ranges(tmp_path):
    recorded = yaml.safe_load((ROOT / "tests/regression/recorded.yaml").read_text("utf-8"))
    project = Project(tmp_path / "project", fixed(parameters()))
    project.snakemake("students")
    outside = []
    for summary in sorted(project.folder.glob("models/demo/*/phantom/*/*/*/summary.json")):
        content = json.loads(summary.read_text("utf-8"))
        run, accuracy = RunKey(**content["run"]), content["final"]["accuracy"]
        low, high = recorded[run.role]
        if not low <= accuracy <= high:
            outside.append(f"{run.role}: {accuracy:.4f} is outside {low} to {high}")
    assert not outside, "\n".join(outside)
