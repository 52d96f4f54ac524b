"""The package as its users install it: from a wheel, without the checkout and the pipeline."""

import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from project import ROOT, parameters, tiny


def needed() -> set[str]:
    """The distributions that this package asks for without its extras, and what those ask for."""
    found: set[str] = set()
    waiting = [("hdkd", frozenset())]
    while waiting:
        name, extras = waiting.pop()
        for text in metadata.requires(name) or []:
            wanted = Requirement(text)
            marker = wanted.marker
            if marker and not any(marker.evaluate({"extra": each}) for each in ("", *extras)):
                continue
            if (name := canonicalize_name(wanted.name)) not in found:
                found.add(name)
                waiting.append((name, frozenset(wanted.extras)))
    return found


class Installed:
    """An environment with the wheel and its dependencies, from this one; and an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.binaries = folder / "environment" / "bin"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        wheels = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels")]
        subprocess.run([*pip, "wheel", *wheels, str(ROOT)], check=True)
        self.wheel = next((folder / "wheels").glob("hdkd-*.whl"))
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(folder / "environment")], check=True
        )
        python = str(self.binaries / "python")
        subprocess.run(
            [*pip, "--python", python, "install", "--no-deps", str(self.wheel)], check=True
        )
        self.packages = next((folder / "environment/lib").glob("python*/site-packages"))
        here = Path(sysconfig.get_path("purelib"))
        for name in needed():
            for part in {path.parts[0] for path in metadata.files(name)} - {".."}:
                if not (self.packages / part).exists():
                    (self.packages / part).symlink_to(here / part)

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HDKD_", "MLFLOW_", "PYTHON"))
        }
        environment["PATH"] = f"{self.binaries}:/usr/bin:/bin"
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def image(installed) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(installed.folder / "scan.png")
    return "scan.png"


def test_the_package_is_the_installed_one(installed):
    found = installed.run("python", "-c", "import hdkd; print(hdkd.__file__)").stdout.strip()
    assert Path(found) == installed.packages / "hdkd" / "__init__.py"


def test_help_and_profile_answer_in_an_empty_folder(installed):
    assert "COMMAND" in installed.run("hdkd", "--help").stdout
    assert installed.run("hdkd", "profile").stdout == "demo\n"
    assert installed.run("hdkd", "profile", "--profile", "paper").stdout == "paper\n"


@pytest.mark.parametrize("model", ["brain_tumor", "ham10000"])
def test_the_models_that_come_along_classify(installed, image, model):
    done = installed.run("hdkd", "predict", "--json", "--model", model, image)
    answer = json.loads(done.stdout)
    assert answer["image"] == image
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert "not for clinical use" in done.stderr


def test_a_training_and_its_prediction_need_no_pipeline(installed, image):
    small = tiny(parameters())
    (installed.folder / "small.yaml").write_text(yaml.safe_dump(small))
    options = ("--params", "small.yaml", "--dataset", "phantom")
    for command in ("acquire", "prepare", "split"):
        installed.run("hdkd", command, *options)
    done = installed.run(
        "hdkd", "train", *options, "--role", "student", "--subset", "16", "--output", "run"
    )
    assert "epoch 2/2" in done.stdout
    assert "MLflow" in done.stderr
    assert "No module named" in done.stderr
    answer = json.loads(installed.run("hdkd", "predict", "--json", "--model", "run", image).stdout)
    assert set(answer["probabilities"]) == {"glioma", "meningioma", "none", "pituitary"}


def test_a_program_distils_and_predicts_without_the_pipeline(installed, image):
    program = (
        "import hdkd, pathlib, torch\n"
        "from torch.nn import Flatten, Linear, Sequential\n"
        "networks = [Sequential(Flatten(), Linear(4, 4)) for _ in range(2)]\n"
        "batch = torch.randn(8, 1, 2, 2), torch.arange(8) % 4\n"
        "loaders = [batch], [batch]\n"
        "print(len(hdkd.distill(*networks, loaders, 'deit_soft', epochs=2).history))\n"
        f"[row] = hdkd.load('brain_tumor').probabilities([pathlib.Path({image!r})])\n"
        "print(len(row))\n"
    )
    assert installed.run("python", "-c", program).stdout.split() == ["2", "4"]


def test_a_command_of_the_pipeline_says_what_to_install(installed):
    done = installed.run("hdkd", "smote", "--dataset", "phantom", code=2)
    assert done.stderr == "error: this needs imblearn: pip install 'hdkd[pipeline]'\n"


def test_the_wheel_says_what_it_may_be_used_for(installed):
    information = next(installed.packages.glob("hdkd-*.dist-info"))
    licences = information / "licenses"
    assert sorted(p.relative_to(licences).as_posix() for p in licences.rglob("LICENSE")) == [
        "LICENSE", "pretrained/brain_tumor/LICENSE", "pretrained/brain_tumor_teacher/LICENSE",
        "pretrained/ham10000/LICENSE",
    ]  # fmt: skip
    text = (information / "METADATA").read_text("utf-8")
    assert "License-Expression: Apache-2.0 AND CC-BY-NC-4.0" in text
    assert "Provides-Extra: pipeline" in text
    assert (installed.packages / "hdkd" / "py.typed").exists()
