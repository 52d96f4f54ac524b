"""The tables of the methods: what is chosen, gains beside two references, ranks."""

import math

import pandas as pd
import pytest

from hdkd import config
from hdkd.config import Methods
from hdkd.report.ranks import alike
from hdkd.report.tables import results
from hdkd.report.tables.methods import method_table, ranks, rows_of
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.study.plan import point_of
from small import METRICS, summary_of

SECTION = Methods(
    subsets={"noise": (16,)}, seeds=(0, 1), hybrid=("alone",), vit=(), strengths=(1, 0.25, 4)
)


def key(method: str, strength: float, seed: int) -> RunKey:
    return RunKey(
        "demo", "noise", "methods", "hybrid", "16", seed, "mbcsa", 2, point_of(strength), method
    )


def cell(validated: dict[tuple[str, float], list[float]]):
    """Runs and summaries; the values are balanced accuracies on validation images, by seed."""
    summaries = []
    for (method, strength), values in validated.items():
        for seed, value in enumerate(values):
            watched = {"loss": 1.0, "accuracy": value, "balanced_accuracy": value}
            summaries.append(summary_of(key(method, strength, seed), validation=watched))
    rows = [
        {
            "run": s.run.folder.as_posix(),
            "method": s.run.method,
            "point": s.run.point,
            "seed": s.run.seed,
        }
        for s in summaries
    ]
    return pd.DataFrame(rows), summaries


def test_the_strength_with_the_best_mean_on_the_validation_images_is_chosen():
    table, summaries = cell(
        {("cskd", 1): [0.5, 0.7], ("cskd", 0.25): [0.9, 0.1], ("cskd", 4): [0.65, 0.6]}
    )
    published, chosen = rows_of(table, summaries, SECTION)
    assert published.weights == "published"
    assert chosen.weights == "chosen: × 4"
    assert chosen.runs["point"].tolist() == ["times4", "times4"]


@pytest.mark.parametrize(
    "missing", [{("cskd", 4): [0.9]}, {("cskd", 4): []}], ids=["a seed", "a strength"]
)
def test_nothing_is_chosen_before_every_seed_has_every_strength(missing):
    table, summaries = cell({("cskd", 1): [0.5, 0.7], ("cskd", 0.25): [0.9, 0.1]} | missing)
    assert [row.weights for row in rows_of(table, summaries, SECTION)] == ["published"]


def test_what_is_chosen_as_published_is_compared_again_with_hdkd_where_that_is_not(parameters):
    parameters["methods"]["demo"] = {
        "subsets": {"phantom": [80]}, "hybrid": ["alone", "hdkd", "cskd"], "seeds": [0, 1, 2],
        "strengths": [1, 0.25],
    }  # fmt: skip
    settings = config.resolve(parameters)
    # By method and strength; of HDKD the weaker one is the best on the validation images.
    right = {"alone": {1: 0.5}, "hdkd": {1: 0.6, 0.25: 0.9}, "cskd": {1: 0.8, 0.25: 0.7}}
    summaries = []
    for run in plan.method_runs(settings, "phantom"):
        accuracy = right[run.method][run.strength] + 0.01 * run.seed * run.strength
        watched = {"loss": 1.0, "accuracy": accuracy, "balanced_accuracy": accuracy}
        final = METRICS | {"accuracy": accuracy, "balanced_accuracy": accuracy}
        used = plan.hyperparameters(settings, run)
        summaries.append(summary_of(run, final=final, validation=watched, hyperparameters=used))
    found = method_table(settings, "phantom", results.runs(settings, summaries), summaries)
    found = found.set_index(["method", "weights"])
    chosen = found.loc[("cskd", "chosen: × 1")]
    assert math.isnan(chosen["p_value"]), "as the published weights have been compared"
    assert chosen["hdkd_gain"] == pytest.approx(-10, abs=1)
    assert chosen["hdkd_p_value"] < 0.05
    assert found.loc[("cskd", "published"), "hdkd_gain"] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("strength", [1, 4, 0.25, 2.5])
def test_a_strength_is_read_from_the_name_that_it_gives(strength):
    assert key("cskd", strength, 0).strength == strength


def test_ranks_are_means_over_datasets_and_subsets():
    accuracies = {"a": [0.9, 0.8, 0.9], "b": [0.8, 0.9, 0.8], "c": [0.1, 0.2, 0.3]}
    rows = [
        {
            "group": "methods", "role": "hybrid", "point": "", "dataset": "noise", "subset": block,
            "method": method, "balanced_accuracy": value,
        }
        for method, values in accuracies.items()
        for block, value in enumerate(values)
    ]  # fmt: skip
    found = ranks(pd.DataFrame(rows))
    assert found.means == pytest.approx({"a": 4 / 3, "b": 5 / 3, "c": 3.0})
    assert found.blocks == 3
    # Demšar (2006), table 5: q is 2.343 for three at 5 %.
    assert found.difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 3)), abs=1e-3)
    assert ranks(pd.DataFrame([row for row in rows if row["subset"] == 0])) is None


def test_bars_join_the_largest_groups_within_the_difference():
    assert alike([1.0, 1.5, 2.2, 4.0, 4.4], 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert alike([1.0, 3.0], 1.0) == []
