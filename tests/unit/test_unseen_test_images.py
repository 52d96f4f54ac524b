"""Nothing that is learned or chosen depends on a test image or its label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hdkd import cli, config
from hdkd.data.imageset import PREPARED_FILES
from hdkd.files import write_sums
from hdkd.training.run_folder import RunFolder
from project import parameters, tiny

PREPARED = Path("data/prepared/demo/phantom")
TEACHER, STUDENT = Path("teacher"), Path("student")


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
    write_sums(PREPARED, PREPARED_FILES)


def studied(folder: Path, monkeypatch, spoilt: str | None) -> Path:
    """A teacher and HDKD, each at its best epoch, after everything from the images on."""
    monkeypatch.chdir(folder)
    chosen = tiny(parameters())
    chosen["student"]["shared"]["keep"] = chosen["teacher"]["shared"]["keep"] = "best_on_validation"
    chosen["student"]["demo"]["epochs"] = 4
    Path("params.yaml").write_text(yaml.safe_dump(chosen))
    config.load(Path("params.yaml"))
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
    assert cli.main([*train, *taught, "--output", str(STUDENT)]) == 0
    return folder


def learned(folder: Path) -> dict[str, object]:
    """Everything that was learned or chosen before the final evaluation."""
    found = {"smote.csv": (folder / PREPARED / "smote.csv").read_bytes()}
    for run in (folder / TEACHER, folder / STUDENT):
        metrics = RunFolder(run).metrics.drop(columns="images_per_second")
        found[f"{run.name}: epochs"] = metrics.to_csv()
        found[f"{run.name}: weights"] = (run / "model.safetensors").read_bytes()
        found[f"{run.name}: kept"] = RunFolder(run).summary["kept"]
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
