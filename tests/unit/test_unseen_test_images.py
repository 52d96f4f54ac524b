"""Nothing that is learned or chosen depends on a test image or its label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from hdkd import cli, config
from hdkd.data.batches.imageset import PREPARED_FILES, ImageSet
from hdkd.files import write_checksums
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from hdkd.training.loop import predict
from project import parameters, tiny, with_controls

PREPARED = Path("data/prepared/demo/phantom")
TEACHER, STUDENT, TUNED = Path("teacher"), Path("student"), Path("chosen.json")


def spoil(part: str) -> None:
    """Put noise in the place of a part's images, and turn their labels round."""
    table = pd.read_csv(PREPARED / "split.csv", keep_default_na=False)
    chosen = (table["part"] == part).to_numpy()
    images = np.load(PREPARED / "images.npy")
    noise = np.random.default_rng(0)
    images[chosen] = noise.integers(0, 256, images[chosen].shape, np.uint8)
    np.save(PREPARED / "images.npy", images)
    for column in ("label", "class"):
        table.loc[chosen, column] = table.loc[chosen, column].to_numpy()[::-1]
    table.to_csv(PREPARED / "split.csv", index=False)
    write_checksums(PREPARED, PREPARED_FILES)


def studied(folder: Path, monkeypatch, spoilt: str | None) -> Path:
    """A teacher and HDKD at their best epochs, HDKD with its best settings, from the images on."""
    monkeypatch.chdir(folder)
    chosen = with_controls(tiny(parameters()))
    chosen["student"]["shared"]["keep"] = chosen["teacher"]["shared"]["keep"] = "best_on_validation"
    chosen["student"]["demo"]["epochs"] = 4
    chosen["baselines"]["demo"]["models"] = []
    Path("params.yaml").write_text(yaml.safe_dump(chosen))
    settings = config.load(Path("params.yaml"))
    dataset = ["--params", "params.yaml", "--dataset", "phantom"]
    for command in ("acquire", "prepare", "split"):
        assert cli.main([command, *dataset]) == 0
    if spoilt:
        spoil(spoilt)
    assert cli.main(["smote", *dataset]) == 0
    train = ["train", *dataset, "--no-tracking", "--threads", "1"]
    recipes = ["--recipes", str(PREPARED / "smote.csv")]
    assert cli.main([*train, "--role", "teacher", *recipes, "--output", str(TEACHER)]) == 0
    taught = ["--role", "hdkd", "--subset", "16", "--teacher", str(TEACHER)]
    for trial in plan.tuning_runs(settings, "phantom"):
        role = taught if trial.role == "hdkd" else ["--role", "student", "--subset", "16"]
        assert cli.main([*train, *role, "--group", "tuning", "--point", trial.point]) == 0
    assert cli.main(["tune", *dataset, "--output", str(TUNED)]) == 0
    assert cli.main([*train, *taught, "--tuned", str(TUNED), "--output", str(STUDENT)]) == 0
    return folder


def learned(folder: Path) -> dict[str, object]:
    """Everything that was learned or chosen before the final evaluation."""
    files = (PREPARED / "smote.csv", TUNED)
    found: dict[str, object] = {path.name: (folder / path).read_bytes() for path in files}
    for run in (folder / TEACHER, folder / STUDENT):
        metrics = RunFolder(run).metrics.drop(columns="images_per_second")
        found[f"{run.name}: epochs"] = metrics.to_csv()
        found[f"{run.name}: weights"] = (run / "model.safetensors").read_bytes()
        found[f"{run.name}: kept"] = RunFolder(run).summary.kept.content()
    return found


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return studied(tmp_path_factory.mktemp("untouched"), patch, None)


def test_spoilt_test_images_change_nothing_before_the_final_evaluation(
    untouched, tmp_path, monkeypatch
):
    spoilt = studied(tmp_path, monkeypatch, "test")
    assert learned(spoilt) == learned(untouched)
    finals = [RunFolder(f / STUDENT).read("predictions.csv") for f in (untouched, spoilt)]
    assert finals[0] != finals[1]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_the_other_parts_do_change_it(untouched, tmp_path, monkeypatch, part):
    assert learned(studied(tmp_path, monkeypatch, part)) != learned(untouched)


def test_settings_cannot_be_left_to_chance_where_trials_choose_them(untouched, monkeypatch, capsys):
    monkeypatch.chdir(untouched)
    train = ["train", "--params", "params.yaml", "--dataset", "phantom", "--no-tracking"]
    assert cli.main([*train, "--role", "student", "--subset", "16", "--output", "other"]) == 2
    assert "run `hdkd tune` and name its file with --tuned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--role", "teacher"], "trains with images of SMOTE: run `hdkd smote` and name its file"),
        (
            ["--role", "teacher", "--subset", "16", "--recipes", str(PREPARED / "smote.csv")],
            "trains without images of SMOTE: leave out --recipes",
        ),
    ],
)
def test_smote_is_for_teachers_of_all_images_and_for_these_always(
    untouched, monkeypatch, capsys, options, sentence
):
    monkeypatch.chdir(untouched)
    train = ["train", "--params", "params.yaml", "--dataset", "phantom", "--no-tracking"]
    assert cli.main([*train, *options, "--output", "other"]) == 2
    assert sentence in capsys.readouterr().err


def test_a_trial_that_the_grid_lacks_is_named(untouched, monkeypatch, capsys):
    monkeypatch.chdir(untouched)
    train = ["train", "--params", "params.yaml", "--dataset", "phantom", "--no-tracking"]
    trial = ["--role", "student", "--subset", "16", "--group", "tuning", "--point", "trial9"]
    assert cli.main([*train, *trial]) == 2
    assert (
        "there is no trial9: tuning.grid has 2 entries for student on phantom"
        in capsys.readouterr().err
    )


def test_the_released_protocol_teaches_with_the_best_epoch_and_reports_the_last(
    untouched, monkeypatch
):
    monkeypatch.chdir(untouched)
    chosen = tiny(parameters())
    chosen["split"]["demo"] = {"validation_fraction": 0}
    chosen["teacher"]["demo"] |= {"keep": "best_on_test", "epochs": 6}
    chosen["datasets"]["phantom"]["smote"]["enabled"] = False
    Path("released.yaml").write_text(yaml.safe_dump(chosen))
    dataset = ["--params", "released.yaml", "--dataset", "phantom"]
    train = ["train", *dataset, "--no-tracking", "--threads", "1", "--role", "teacher"]
    for command in (["split", *dataset], [*train, "--output", "released"]):
        assert cli.main(command) == 0
    run = RunFolder(Path("released"))
    accuracies = run.metrics["test_accuracy"]
    assert accuracies.max() > accuracies.iloc[-1], "the best epoch must not be the last"
    summary = run.summary
    assert summary.kept.epoch == summary.best_epoch.epoch == accuracies.idxmax() + 1
    assert summary.final.accuracy == pytest.approx(accuracies.iloc[-1])
    source = ImageSet.load(PREPARED)
    test = source.part("test")
    pixels = torch.from_numpy(np.array(source.images[test]))
    probabilities, _ = predict(run.load_model(), pixels, source.labels[test])
    taught_with = (probabilities.argmax(axis=1) == source.labels[test]).mean()
    assert taught_with == pytest.approx(accuracies.max())
