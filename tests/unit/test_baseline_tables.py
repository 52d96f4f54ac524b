"""The table of baselines: what HDKD gains over each, beside the networks themselves."""

import pandas as pd
import pytest

from hdkd import config
from hdkd.config import Settings
from hdkd.report.tables import frames, results
from hdkd.report.tables.numbers import Numbers
from hdkd.runs.predictions import NO_PREDICTIONS
from hdkd.study import plan
from small import METRICS, summary_of

BASE = {"mobilenet_v2": 0.6, "pvt_tiny": 0.5, "hdkd": 0.7, "student": 0.65}


def settings_with_baselines(parameters: dict) -> Settings:
    parameters["sweep"]["demo"] |= {"seeds": [0, 1, 2]}
    parameters["baselines"]["demo"] = {"models": ["mobilenet_v2", "pvt_tiny"], "seeds": [0, 1]}
    return config.resolve(parameters)


def numbers_of(settings: Settings, roles: list[str]) -> Numbers:
    """Runs on all images; HDKD's seed 2, which no baseline has, is right for every image."""
    runs = [*plan.baseline_runs(settings, "phantom"), *plan.student_runs(settings, "phantom")]
    summaries = []
    for run in runs:
        if run.role in roles and run.subset == "all":
            right = 1.0 if run.seed == 2 else BASE[run.role] + 0.01 * run.seed
            final = METRICS | {"accuracy": right, "balanced_accuracy": right - 0.1 * run.seed}
            used = plan.hyperparameters(settings, run)
            summaries.append(summary_of(run, final=final, hyperparameters=used))
    table = results.runs(settings, summaries)
    empty = pd.DataFrame()
    return Numbers(settings, summaries, NO_PREDICTIONS, {}, table, empty, empty, empty)


def test_hdkd_gains_over_each_baseline_on_the_seeds_of_both(parameters):
    settings = settings_with_baselines(parameters)
    found = frames.baselines(numbers_of(settings, [*BASE]), "phantom").set_index("role")
    assert found["gain"].dropna().to_dict() == pytest.approx({"mobilenet_v2": 10, "pvt_tiny": 20})
    assert found.loc["hdkd", "accuracy"] == pytest.approx((0.7 + 0.71 + 1) / 3)


def test_its_p_values_are_corrected_over_the_baselines(parameters):
    settings = settings_with_baselines(parameters)
    numbers = numbers_of(settings, [*BASE])
    runs = numbers.runs
    hdkd = runs[runs["role"] == "hdkd"]
    alone = {
        name: results.paired(runs[runs["role"] == name], hdkd)["gain"].p_value
        for name in ("mobilenet_v2", "pvt_tiny")
    }
    found = frames.baselines(numbers, "phantom").set_index("role")["p_value"]
    assert found["pvt_tiny"] == pytest.approx(2 * alone["pvt_tiny"]), "the smaller one"
    assert found["mobilenet_v2"] == pytest.approx(max(alone["mobilenet_v2"], found["pvt_tiny"]))


def test_without_hdkd_the_baselines_stand_alone(parameters):
    settings = settings_with_baselines(parameters)
    found = frames.baselines(numbers_of(settings, ["mobilenet_v2", "student"]), "phantom")
    assert found["role"].tolist() == ["mobilenet_v2", "student"]
    assert "gain" not in found
