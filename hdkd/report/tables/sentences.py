"""What the report says of a study in sentences, each empty where there is nothing to say."""

from typing import Any

import pandas as pd

from hdkd.config import HamLayout, Settings
from hdkd.config import methods as described
from hdkd.report.tables import cost, methods
from hdkd.report.tables.formats import span
from hdkd.report.tables.numbers import Numbers
from hdkd.runs.records import RunSummary
from hdkd.study import plan
from hdkd.study.names import NETWORKS

INTERVALS = (
    "Intervals are of 95 %. Where predictions.npz has the runs, they are over seeds and test "
    "images, and gains are paired by both; elsewhere those of gains are Student's t over seeds "
    "alone, on the test images as they are. Brackets behind a metric are its interval; a metric "
    "without one has ± its sample deviation over seeds."
)
BASELINES = (
    "“HDKD's gain” is over the row's baseline, in points, with the same seeds and images. HDKD has "
    "a teacher, which has been trained besides; the baselines have none."
)
SAME_IMAGES = (
    "What somebody has who owns no more images than these: HDKD whose teacher was trained on the "
    "student's images only, its gain over that teacher, and over the student alone, trained for "
    "as long or longer as under “Controls”. Their extra steps and multiply-accumulates are a share "
    "of the sweep's teacher; this one serves a single student."
)
KEPT_EPOCHS = {
    "last": "after the last epoch",
    "best_on_validation": "after the best epoch on the validation images",
    "best_on_test": "after the last epoch",  # the best one only teaches
}


def kept(settings: Settings) -> str:
    """After which epoch accuracies are those of the networks."""
    students, teachers = (
        " or ".join({KEPT_EPOCHS[settings.training(role, name).keep]: 0 for name in settings.study})
        for role in ("student", "teacher")
    )
    return students if students == teachers else f"{students} (of teachers {teachers})"


def unfinished(numbers: Numbers) -> str:
    """How many of its runs an unfinished study has; empty for a finished one."""
    settings = numbers.settings
    planned = {run for name in settings.study for run in plan.all_runs(settings, name)}
    finished = {summary.run for summary in numbers.summaries} & planned
    if finished == planned:
        return ""
    are = "is" if len(finished) == 1 else "are"
    return f"This study is not finished: {len(finished)} of its {len(planned)} runs {are} here."


def controls_explained(settings: Settings) -> str:
    """What the controls answer; on all images every teacher has seen the student's only."""
    controls = settings.parameters.ablations.controls
    if not controls:
        return ""
    images = "because its teacher has seen more images (“same images”: a teacher that has not), or "
    return (
        "What a comparison of student and HDKD leaves open, on the same images and seeds: whether "
        f"HDKD gains {images if controls.subset != 'all' else ''}because it and its teacher were "
        "trained longer (“as many steps”, “as many MACs”: the student alone, given as many steps "
        "or multiply-accumulates as HDKD and its share of the teacher, whose cost the HDKDs of the "
        "sweep share), and how much it matters which teacher it has. “HDKD's gain” is over the "
        "row's model, in points."
    )


def methods_explained(settings: Settings) -> str:
    """What is equal for all methods, and what the columns of their table are."""
    chosen = (
        " “Chosen” weights are those times the factor that was best on the validation images; all "
        "methods, HDKD too, had the same factors to choose from."
    )
    return (
        "Other ways to teach the same students, each with the same teacher, images, seeds, "
        "augmentation and steps. “Published” weights are those of a method's authors, as far as "
        "they are known, in their normalisation: a divergence by batch × classes is as many times "
        "weaker as there are classes."
        f"{chosen if len(settings.parameters.methods.strengths) > 1 else ''} Gains are in points, "
        "over the same student alone and over HDKD; p is corrected for each of the two by itself. "
        "“Time” is that of a run's epochs beside the student alone's; “parameters more” are "
        "trained along, and most are dropped afterwards."
    )


def costs(numbers: Numbers) -> list[str]:
    """What the study has cost so far, and what is left of it, one sentence each."""
    shown = set(numbers.runs["run"])
    keys = {summary.run: summary for summary in numbers.summaries}
    trials = [key for key in keys if key.group == "tuning"]
    of_study = [
        summary
        for key, summary in keys.items()
        if key.group == "tuning" or key.folder.as_posix() in shown
    ]
    among = f", {len(trials)} of them to choose settings," if trials else ""
    took = span(hours_of(of_study))
    lines = [f"{counted(len(of_study))}{among} took {took}, each counted by itself."]
    for device, busy in cost.device_hours(of_study).items():
        name = "the CPU" if device == "cpu" else f"one {device}"
        lines.append(f"Those side by side counted once, {name} was busy for {span(busy)}.")
    missing = (numbers.costs["runs"] - numbers.costs["finished"]).sum()
    if missing:
        hours = cost.hours_left(numbers.costs)
        about = f"about {span(hours)}, by their work and the rates so far"
        if pd.isna(hours):
            about = "how long they take is not known yet"
        are = "is" if missing == 1 else "are"
        lines.append(f"{counted(missing)} {are} missing: {about}.")
    lines.append("Images per second are training images, over all of a run with its tests.")
    return lines


def counted(runs: int) -> str:
    """So many runs, in words."""
    return f"{runs} run{'' if runs == 1 else 's'}"


def ranks(numbers: Numbers) -> list[str]:
    """What the ranks of the methods say, a sentence or more for each student; empty without."""
    return [
        _ranks(NETWORKS[role], found)
        for role in NETWORKS
        if (found := methods.ranks(numbers.runs, role))
    ]


def _ranks(student: str, found: methods.Ranks) -> str:
    order = ", ".join(f"{described()[name].title} {rank:.1f}" for name, rank in found.means.items())
    return (
        f"{student}, mean ranks by balanced accuracy over {found.blocks} pairs of dataset and "
        f"subset, 1 being best: {order}. Ranks closer than {found.difference:.1f} may be equal "
        f"(Nemenyi, 5 %); that all are equal has p {found.p_value:.2g} (Friedman). Subsets of one "
        "dataset are not independent of each other, so both are optimistic."
    )


def hours_of(summaries: list[RunSummary]) -> float:
    """Hours of training in all, those side by side each counted by itself."""
    return sum(summary.provenance.duration_seconds for summary in summaries) / 3600


def leaks(settings: Settings, facts: dict[str, Any]) -> str:
    """How many test images of a dataset are leaked, and what the others are of."""
    leaked = facts.get("leaked_test_images")
    if not leaked:
        return ""
    kinds = "a copy or a near-copy (mirrored or turned, too)"
    if isinstance(settings.dataset(facts["dataset"]).layout, HamLayout):
        kinds = "a copy, a near-copy (mirrored or turned, too) or another image of the lesion"
    left = ", ".join(f"{count} {name}" for name, count in facts["new_test_images"].items())
    return (
        f"Of the {sum(tests(facts).values())} test images, {leaked} "
        f"{'has' if leaked == 1 else 'have'} {kinds} in another part, "
        f"which may flatter accuracies. The others: {left}."
    )


def copies(summaries: list[RunSummary], dataset: str) -> str:
    """That runs of a dataset were made with several copies of its images; empty where not."""
    hashes = {s.data.content_hash[:16] for s in summaries if s.run.dataset == dataset}
    if len(hashes) < 2:
        return ""
    return (
        f"Its runs were made with {len(hashes)} copies of the images (content hashes "
        f"{', '.join(sorted(hashes))}), so what is compared below may differ in its images, too."
    )


def guessing(facts: dict[str, Any]) -> str:
    """What always answering the most frequent class reaches, on all test images and on new ones."""
    counts = tests(facts)
    name, share = _largest(counts)
    text = f"Always answering {name} is right for {share:.2f} % of the test images"
    text += f", balanced {100 / len(counts):.2f} %"
    if facts.get("leaked_test_images") and sum(facts["new_test_images"].values()):
        name, share = _largest(facts["new_test_images"])
        text += f"; always answering {name} for {share:.2f} % of those without leaks"
    return f"{text}."


def tests(facts: dict[str, Any]) -> dict[str, int]:
    """Test images of each class."""
    return {name: count["test"] for name, count in facts["counts"].items()}


def _largest(counts: dict[str, int]) -> tuple[str, float]:
    """The largest class, and its share in percent."""
    name = max(counts, key=lambda name: counts[name])
    return name, 100 * counts[name] / sum(counts.values())


def disagreement(gain: dict[str, Any]) -> str:
    """What a gain in accuracy and one in balanced accuracy say differently.

    They differ where the interval of their difference, seed by seed, excludes zero. A single seed
    has none.
    """
    opposite = gain["gain"] * gain["balanced_gain"] < 0
    if pd.isna(gain["apart_low"]):
        return "One of the two rises and the other falls, with this seed." if opposite else ""
    if gain["apart_low"] <= 0 <= gain["apart_high"]:
        return ""
    if opposite:
        return "Accuracy and balanced accuracy disagree: what is gained depends on the class."
    apart = abs(gain["apart"])
    return f"The two differ by {apart:.1f} points: how much is gained depends on the class."


def steps(settings: Settings, dataset: str) -> str:
    """Whether rows of the sweep differ in more than their images."""
    if len(settings.dataset(dataset).subsets) == 1:
        return ""
    training = settings.training("student", dataset)
    if images := training.epoch_images:
        # A single image left over joins the batch before it.
        batches = images // training.batch_size + (images % training.batch_size > 1)
        return (
            f"Every student takes {training.epochs * batches} steps, however many images it has; "
            f"an epoch counts {images} images."
        )
    return (
        "Students on more images take more steps an epoch, so the rows differ in compute as well "
        "as in data."
    )


def warnings(settings: Settings, facts: dict[str, Any]) -> list[str]:
    """What a reader must know about the data of a dataset, one sentence each."""
    sizes = facts["native_sizes"]
    found = [leaks(settings, facts)]
    if copies := facts["test_images_in_training"]:
        found.append(
            f"{copies} of the {sum(tests(facts).values())} test images "
            f"{'is a copy' if copies == 1 else 'are copies'} of a training image, pixel for pixel "
            "as prepared."
        )
    if repeated := facts["repeated_training_images"]:
        what = "image repeats" if repeated == 1 else "images repeat"
        found.append(f"{repeated} training {what} another one.")
    if contradicting := facts.get("images_in_two_classes"):
        found.append(
            f"{contradicting} {'image stands' if contradicting == 1 else 'images stand'} in more "
            "than one class, pixel for pixel as prepared: one of the labels of each is wrong."
        )
    found += [f"Count differs from the published one. {text}." for text in facts["differences"]]
    if facts["published_size"]:
        size = "×".join(map(str, facts["published_size"]))
        if sizes.keys() != {size}:
            found.append(
                f"Images were published at {size} pixels; this copy has {', '.join(sizes)}."
            )
    elif facts["native_size_count"] == 1 and not facts["synthetic"]:
        found.append(
            f"All images of this copy have the same size, {next(iter(sizes))}: "
            "it may have been resized before."
        )
    if left_out := facts["left_out"]:
        found.append(f"Left out, because they are no usable images: {', '.join(left_out)}.")
    return [sentence for sentence in found if sentence]
