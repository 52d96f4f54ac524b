"""What a person sees first of an experiment in MLflow: a note, and a view of its runs.

The view (columns, the chart of accuracy by number of training images) is what MLflow stores where
someone shares one, a tag whose content belongs to MLflow's page, not to its interface. A page that
reads it otherwise shows all columns, and loses nothing.
"""

import json
from typing import Any

from hdkd.tracking import store

NOTE_TAG = "mlflow.note.content"
VIEW = "hdkd"  # by which a link names the view
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
COLUMNS = (
    "tags.`role`",
    "tags.`subset`",
    "tags.`seed`",
    "metrics.`final_accuracy`",
    "metrics.`final_balanced_accuracy`",
    "metrics.`validation_balanced_accuracy`",
)
SECTION = "hdkd"
TRAINING = "workflowType=machine_learning"  # which of MLflow's two menus a link opens
SWEEP_NOTE = (
    "The study as a whole: the report (`report/report.html`), its figures and its tables are among "
    "the artifacts, its headline among the metrics. Below it stands each training."
)


def annotate(profile: str, dataset: str, title: str, validated: bool) -> None:
    """Give an experiment and its sweep what they lack of notes and of the view.

    ``title`` is that of the dataset; ``validated`` where there are validation images.
    """
    found = store.find_experiment(profile, dataset)
    if not found:
        return
    client = store.connect().MlflowClient()
    there = client.get_experiment(found.identifier).tags
    model = store.name_of(profile, dataset)
    # A note that somebody has written stays.
    text = there.get(NOTE_TAG) or note(found.identifier, profile, title, model, validated)
    wanted = {NOTE_TAG: text}
    wanted[VIEW_TAG] = view()
    for tag, value in wanted.items():
        if there.get(tag) != value:
            client.set_experiment_tag(found.identifier, tag, value)
    if NOTE_TAG not in client.get_run(found.sweep).data.tags:
        client.set_tag(found.sweep, NOTE_TAG, SWEEP_NOTE)


def note(experiment: str, profile: str, title: str, model: str, validated: bool) -> str:
    """What an ``experiment`` is, where to look and what its numbers mean, as Markdown.

    ``experiment`` is its identifier, ``model`` the name in the registry; ``validated`` where there
    are validation images.
    """
    model_is, final_is, validation_is = (
        "whose alias `best` is chosen on validation images",
        "with the weights that were kept",
        "`validation_…` are of the validation images, on which everything is chosen",
    )
    if not validated:
        model_is, final_is, validation_is = (
            "of the first seed", "after the last epoch", "there are no validation images",
        )  # fmt: skip
    runs = f"#/experiments/{experiment}/runs?{TRAINING}&viewStateShareKey={VIEW}"
    return (
        f"**{title}, profile `{profile}`**: teachers, students alone, HDKD and other methods.\n\n"
        f"- [The trainings]({runs}), and [accuracy by number of training images]"
        f"({runs}&compareRunsMode=CHART)\n"
        "- The run *sweep* has the report among its artifacts\n"
        f"- [The model](#/models/{model}?{TRAINING}), {model_is}\n\n"
        f"`final_…` are metrics of the test images {final_is}; {validation_is}. "
        "Not for clinical use."
    )


def view() -> str:
    """The columns of the runs and the charts, as MLflow's page stores a shared view."""

    def chart(metric: str) -> dict[str, Any]:
        return {
            "uuid": f"hdkd-{metric}",
            "type": "SCATTER",
            "isGenerated": False,
            "deleted": False,
            "metricSectionId": SECTION,
            "runsCountToCompare": 100,
            "xaxis": {"key": "training_images", "type": "PARAM"},
            "yaxis": {"key": metric, "type": "METRIC"},
        }

    charts = [chart("final_accuracy"), chart("final_balanced_accuracy")]
    section = {"uuid": SECTION, "name": "Results", "display": True, "isReordered": False}
    return json.dumps(
        {
            # Without the sweep, below which the runs would be folded up.
            "searchFilter": "tags.role != ''",
            "orderByKey": "metrics.`validation_balanced_accuracy`",
            "orderByAsc": False,
            "selectedColumns": COLUMNS,
            "compareRunCharts": charts,
            "compareRunSections": [section],
            "runsHiddenMode": "SHOW_ALL",
        }
    )
