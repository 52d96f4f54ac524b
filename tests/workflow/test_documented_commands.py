"""Every command of the site is run as it stands there, or is in ``NOT_RUN`` with the reason.

A page that shows a new command needs it in one of the two: below ``typed``, on a test that runs it
in a small study, or in ``NOT_RUN``, where only its arguments are checked. What pages merely name,
as ``dvc push`` in a sentence, is checked without being listed.
"""

import copy
import json
import re
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from archives import brain_tumor, ham10000
from commands import blocks, check, named, shown
from hdkd import config
from hdkd.config import methods
from hdkd.data.acquire.phantom import CLASSES, draw
from hdkd.remote.borrow import value_order
from project import ROOT, Project, parameters, tiny

INDEX = "it asks a package index, and changes the environment"
CLUSTER = "it needs a SLURM, on which `make test-cluster` runs the study"
PODS = "it needs a Kubernetes cluster; `make test-stores` runs the study in what stands for one"
SERVERS = "the servers are one's own; `make test-stores` sets it for real ones"
SERVES = "it serves until it is stopped; test_web.py sends it images"
HOURS = "it measures for many minutes; test_benchmarks.py runs all sections at their smallest"
GPU = "it needs a GPU"
PART = "it is part of a command, and does nothing as it stands"

# Only the arguments of these are checked.
NOT_RUN = {
    "make test": "it runs tests, as this one",
    "pytest tests/unit": "it runs tests, as this one",
    "make setup": INDEX,
    "source .venv/bin/activate": "tests run in that environment already",
    "pip install .": "test_wheel.py installs the package, from a wheel",
    "pip install '.[pipeline]'": INDEX,
    "pip install '.[onnx,pipeline]'": INDEX,
    "pip install onnxruntime numpy pillow": INDEX,
    "pip install '.[serve]'": INDEX,
    "hdkd serve": SERVES,
    "hdkd serve --model ham10000 --port 8001": SERVES,
    "hdkd serve --model my_model": SERVES,
    "curl --data-binary @scan.png http://127.0.0.1:8000/api/classify": SERVES,
    "python classify.py model.onnx image.jpg": "test_formats.py runs it where there is no torch",
    "pip install 'hdkd[slurm]'": INDEX,
    "pip install 'hdkd[kubernetes]'": INDEX,
    "pip install 'hdkd[stores]'": INDEX,
    "pip install 'hdkd[many]'": INDEX,
    "pip install pre-commit && pre-commit install": INDEX,
    "hdkd predict --model my_model": PART,
    "hdkd predict --json": PART,
    "snakemake --retries 3": PART,
    "snakemake … all": PART,
    "snakemake --workflow-profile profiles/slurm all $(hdkd walltimes --device cpu)": CLUSTER,
    "snakemake --workflow-profile profiles/slurm all $(hdkd walltimes --profile paper) "
    "--config profile=paper": CLUSTER,
    "docker build --file deploy/Dockerfile --target cpu --tag registry.example.org/hdkd:cpu "
    "--build-arg TORCH_INDEX=… .": "it needs Docker's service and a package index",
    "docker push registry.example.org/hdkd:cpu": "it needs a registry of images",
    "kubectl apply --filename deploy/checkpoints.yaml": PODS,
    "snakemake --workflow-profile profiles/kubernetes all": PODS,
    "snakemake --workflow-profile profiles/kubernetes all --config profile=paper": PODS,
    "snakemake --workflow-profile profiles/kubernetes --executor local --cores 2 data": PODS,
    "export MLFLOW_TRACKING_URI=http://mlflow.example.org:5000": SERVERS,
    "export SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=http://store.example.org:9000": SERVERS,
    "export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=… SNAKEMAKE_STORAGE_S3_SECRET_KEY=…": SERVERS,
    "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_DEFAULT_REGION=us-east-1": SERVERS,
    "export AWS_REQUEST_CHECKSUM_CALCULATION=when_required "
    "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required": SERVERS,
    "torchrun --standalone --nproc-per-node 4 --no-python -- hdkd train …": (
        "test_shared_run.py shares a run between two processes, as many as there are cores"
    ),
    "MLFLOW_TRACKING_URI=sqlite:///mlflow/mlflow.db mlflow models serve "
    "-m models:/hdkd-demo-phantom@best --env-manager local": (
        "it serves until it is stopped, which test_snakemake.py does"
    ),
    "HDKD_TEST_DEVICE=cpu pytest tests/gpu": "`make test-slow` runs it, with an older torch",
    "python -m benchmarks --gpu cpu --tiny --output /tmp/gpu.md": "test_benchmarks.py runs it",
    "python -m pytest tests/gpu -x": GPU,
    "python -m benchmarks --gpu cuda --reference PATH": GPU,
    "snakemake --cores 8 all --config profile=paper --resources gpu=4": GPU,
    "echo quit | nvidia-cuda-mps-control": GPU,
    "make bench REFERENCE=PATH": HOURS,
    "python -m benchmarks --reference PATH": HOURS,
    "python -m benchmarks latency": HOURS,
    "python -m benchmarks scale": HOURS,
    "python -m benchmarks studies": HOURS,
}
RUN: set[str] = set()
# What stands for something of the reader's, as the readers of this file take it.
PLACEHOLDERS = {
    "<profile>": "demo",
    "--dataset NAME": "--dataset phantom",
    "--output FOLDER": "--output named",
    "offline.sh 15 N": "offline.sh 15 2",
    "path/to/this/folder": "pretrained/brain_tumor",
}


def typed(*commands: str):
    """For a test that is given these ``commands``, which pages show, and runs them."""
    RUN.update(commands)
    handed = pytest.mark.parametrize("commands", [commands], ids=["typed"])
    return lambda test: pytest.mark.slow(handed(test))


def printed(project: Project, commands: tuple[str, ...], **variables: str) -> list[str]:
    """What each of the ``commands`` prints; all are typed into one shell of ``project``."""
    end = "end of command"
    lines = [line for command in commands for line in (command, f"echo '{end}'")]
    script = "\n".join(["set -e", "exec 2>&1", *lines])
    for placeholder, value in PLACEHOLDERS.items():
        script = script.replace(placeholder, value)
    output = project.run("bash", "-c", script, **variables).stdout
    return output.split(f"{end}\n")[:-1]


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def small_studies() -> dict:
    """Tiny parameters, in which the other profiles are as small as the demo."""
    chosen = tiny(parameters())
    chosen["ablations"]["demo"] |= {"variants": [], "distillation": None}
    chosen["baselines"]["demo"]["models"] = []
    for section in chosen.values():
        if isinstance(section, dict) and "demo" in section:
            for profile in ("pilot", "reduced", "paper"):
                section[profile] = copy.deepcopy(section["demo"])
    chosen["sweep"]["pilot"]["datasets"] = ["brain_tumor", "ham10000"]
    chosen["sweep"]["paper"]["datasets"] = ["brain_tumor"]
    compared = {"subsets": {"phantom": [16]}, "hybrid": ["alone", "cskd"], "seeds": [0]}
    chosen["methods"]["reduced"] = compared
    for name in ("phantom", "brain_tumor", "ham10000"):
        chosen["datasets"][name]["subsets"] = [16]
    return chosen


def repository(folder: Path) -> Project:
    """A checkout of small studies, with git and DVC, and an environment that `make` finds ready."""
    project = Project(folder, small_studies())
    complete(project)
    for command in (
        ["git", "init", "--quiet", "--initial-branch", "main"],
        ["dvc", "init", "--quiet"],
        ["dvc", "config", "core.analytics", "false"],
        ["dvc", "remote", "add", "--quiet", "--default", "shelf", str(folder.parent / "shelf")],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "the project"],
    ):
        project.run(*command)
    return project


def complete(project: Project) -> None:
    """Add what a checkout has, and what `make setup` leaves."""
    shutil.copy(ROOT / "Makefile", project.folder)
    shutil.copy(ROOT / "requirements.lock", project.folder)
    shutil.copytree(ROOT / "pretrained", project.folder / "pretrained")
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/.installed").touch()


def without_plugins(project: Project) -> None:
    """Have the profiles of clusters run jobs on this machine."""
    of_plugins = re.compile("executor|envvars|shared-fs-|default-storage-|slurm-|kubernetes-")
    for path in project.folder.glob("profiles/*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        general = {key: value for key, value in profile.items() if not of_plugins.match(key)}
        path.write_text(yaml.safe_dump(general))


@pytest.fixture(scope="module")
def demo(built, tmp_path_factory) -> Project:
    """A copy of the built project, to which its readers add things."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    shutil.copytree(built.folder, folder)
    project = Project.existing(folder)
    complete(project)
    for name in ("scan.jpg", "spot.jpg", "image.jpg"):
        Image.fromarray(draw("glioma", 96, np.random.default_rng(0))).save(folder / name)
    return project


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    """A home whose downloads are small archives, named as those of the real datasets."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "Downloads").mkdir()
    brain_tumor(folder / "Downloads/brain-tumor-mri-dataset.zip")
    ham10000(folder / "Downloads/skin-cancer-mnist-ham10000.zip")
    return folder


@pytest.fixture(scope="module")
def planning(tmp_path_factory) -> Project:
    """The project with its own parameters, in which plugins that are not here are left out."""
    project = Project(tmp_path_factory.mktemp("planning") / "project", parameters())
    without_plugins(project)
    return project


@pytest.fixture(scope="module")
def pilot(tmp_path_factory) -> Project:
    """The profile ``pilot`` on archives in the layouts of the real datasets."""
    return repository(tmp_path_factory.mktemp("pilot") / "project")


@pytest.fixture(scope="module")
def reduced(tmp_path_factory) -> Project:
    """A long study: the profile ``reduced``."""
    return repository(tmp_path_factory.mktemp("reduced") / "project")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Project:
    """The profile ``paper``, which is carried to an offline machine."""
    project = repository(tmp_path_factory.mktemp("offline") / "project")
    installed = (f"{each.name}=={each.version}" for each in metadata.distributions())
    (project.folder / "machine.txt").write_text("\n".join(installed))
    return project


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Project:
    """The demo, shared by DVC."""
    return repository(tmp_path_factory.mktemp("shared") / "project")


@typed("make all")
def test_the_first_command_of_the_readme_ends_with_a_report(demo, commands):
    report = demo.folder / "reports/demo/report.html"
    report.unlink()
    printed(demo, commands)
    assert report.exists()


@typed("snakemake --cores 4 all", "snakemake -n all")
def test_then_there_is_nothing_to_be_done(demo, commands):
    for output in printed(demo, commands):
        assert "Nothing to be done" in output


@typed(
    "for batch in 1 2 3 4 5 6 7 8 9 10; do snakemake --cores 4 all --batch all=$batch/10; done",
)
def test_a_study_can_be_built_in_ten_batches(demo, commands):
    report = demo.folder / "reports/demo/report.html"
    report.unlink()
    printed(demo, commands)
    assert report.exists()


@typed("snakemake --unlock")
def test_a_folder_that_a_kill_has_left_locked_is_unlocked(demo, commands):
    locks = demo.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("reports/demo/report.html\n")
    assert "cannot be locked" in demo.snakemake("--forcerun", "page", "all", check=False).stderr
    printed(demo, commands)
    assert not (locks / "0.output.lock").exists()


@typed("hdkd --help", "hdkd methods")
def test_help_and_methods_are_printed(demo, commands):
    usage, described = printed(demo, commands)
    assert usage.startswith("Usage: hdkd [OPTIONS] COMMAND [ARGS]...")
    assert [name for name in methods() if name not in described] == []


@typed("python -m hdkd.config")
def test_the_schema_of_the_parameters_is_written(demo, commands):
    schema = demo.folder / "workflow/schemas/params.schema.json"
    schema.unlink()
    printed(demo, commands)
    assert schema.read_bytes() == (ROOT / "workflow/schemas/params.schema.json").read_bytes()


@typed(
    "hdkd predict scan.jpg",
    "hdkd predict --model ham10000 spot.jpg",
    "hdkd predict --model path/to/this/folder image.jpg",
)
def test_the_models_that_come_with_the_project_classify(demo, commands):
    tumour, spot, card = printed(demo, commands)
    classes = parameters()["datasets"]
    for output, name in ((tumour, "brain_tumor"), (spot, "ham10000"), (card, "brain_tumor")):
        header, _, row = output.splitlines()[-3:]
        assert header.split() == ["image", "class", *classes[name]["classes"], "unlike_training"]
        assert row.split()[1] in classes[name]["classes"]


@typed(
    "hdkd export --dataset phantom --output my_model --format onnx --format torch --precision int8",
    "python my_model/classify.py my_model/model.onnx scan.jpg",
)
def test_an_exported_model_answers_without_torch_what_it_answers_with_it(demo, commands):
    _, answer = printed(demo, commands)
    expected = demo.run("hdkd", "predict", "--json", "--model", "my_model", "scan.jpg").stdout
    without, within = json.loads(answer), json.loads(expected)
    assert within.keys() - without.keys() == {"unlike_training"}
    assert without["class"] == within["class"]
    assert without["probabilities"] == pytest.approx(within["probabilities"], abs=1e-4)

    [code] = blocks(page("docs/deployment.md"), "python")
    size = parameters()["images"]["demo"]["size"]
    pixels = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    file = demo.folder / "my_model/model.pt2"
    defined = {"torch": torch, "pixels": pixels}
    exec(code.replace("my_model/model.pt2", str(file)), defined)
    assert defined["probabilities"].sum().item() == pytest.approx(1)
    about = json.loads(defined["about"]["about.json"])
    assert json.loads(about["classes"]) == sorted(CLASSES)


@typed("hdkd export --dataset NAME --output FOLDER")
def test_a_model_of_ones_own_study_is_exported_with_its_card(demo, commands):
    printed(demo, commands)
    assert "Not for clinical use" in (demo.folder / "named/README.md").read_text("utf-8")


@typed(
    "export HDKD_FOLDER=my_images",
    "snakemake --cores 4 all --config profile=own",
    "hdkd export --profile own --dataset folder --output my_model",
    "hdkd predict --model my_model photo.jpg",
    "hdkd export --profile own --dataset folder --run models/own/teacher/folder/"
    "teacher-mbcsa-s2/nall/seed0 --output my_teacher",
    "snakemake --cores 4 all --configfile mine.yaml",
)
def test_ones_own_images_train_a_model_that_classifies_others(
    tmp_path, image_folder, tiny_parameters, commands
):
    """With the controls on one seed, and as few epochs and as small networks as the demo's.

    The settings of ``mine.yaml`` are without controls.
    """
    chosen = copy.deepcopy(tiny_parameters)
    chosen["split"]["own"] = {"validation_fraction": 0.25}
    chosen["sweep"]["own"]["seeds"] = [0]
    chosen["ablations"]["own"]["controls"] |= {"seeds": [0], "teacher_seeds": [1]}
    for section in ("images", "network", "teacher", "student"):
        chosen[section]["own"] = chosen[section]["demo"]
    project = Project(tmp_path / "project", chosen)
    grey = {
        "profile": "own",
        "datasets": {"folder": {"colour": "grey"}},
        "ablations": {"own": {"controls": None}},
    }
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(grey))
    shutil.copytree(image_folder, project.folder / "my_images")
    shutil.copy(image_folder / "test/blob/image 1.jpg", project.folder / "photo.jpg")
    *_, answer, _, _ = printed(project, commands)
    assert "photo.jpg" in answer
    assert (project.folder / "my_teacher/README.md").exists()
    data = json.loads((project.folder / "reports/own/data.json").read_text("utf-8"))
    assert data["folder"]["colour"] == "grey", "as mine.yaml says, with which it was built again"
    report = (project.folder / "reports/own/report.html").read_text("utf-8")
    assert "The paper's numbers" not in report
    controls = project.folder / "models/own/ablations/folder/student-mbcsa-s2-same_macs"
    assert list(controls.rglob("summary.json")), "trained by the first command"


def test_the_comparison_of_methods_fits_the_parameters():
    compared = parameters() | {"profile": "reduced"}
    [shown_values] = blocks(page("docs/methods.md"), "yaml")
    compared["methods"] |= yaml.safe_load(f"methods:\n{shown_values}")["methods"]
    assert config.resolve(compared).parameters.methods.vit == ("alone", "cskd")


@typed("python -m benchmarks.latency_figure")
def test_the_figure_of_latencies_is_drawn_from_the_committed_report(
    tmp_path, tiny_parameters, commands
):
    project = Project(tmp_path / "project", tiny_parameters)
    for name in ("reports/benchmarks.md", "docs/latency.svg"):
        (project.folder / name).parent.mkdir()
        shutil.copy(ROOT / name, project.folder / name)
    shutil.copytree(ROOT / "benchmarks", project.folder / "benchmarks")
    (project.folder / "docs/latency.svg").unlink()
    printed(project, commands)
    drawn = project.folder / "docs/latency.svg"
    assert drawn.read_bytes() == (ROOT / "docs/latency.svg").read_bytes()


class TestTheRealDatasets:
    """In this order."""

    @typed(
        "export HDKD_BRAIN_TUMOR=~/Downloads/brain-tumor-mri-dataset.zip",
        "export HDKD_HAM10000=~/Downloads/skin-cancer-mnist-ham10000.zip",
        "dvc exp run -S profile=pilot",
        "snakemake --cores 4 all --config profile=pilot",
    )
    def test_are_studied_alike_by_dvc_and_by_snakemake(self, pilot, downloads, commands):
        *_, again = printed(pilot, commands, HOME=str(downloads))
        report = (pilot.folder / "reports/pilot/report.html").read_text("utf-8")
        assert "Brain Tumor MRI" in report
        assert "HAM-10000" in report
        assert "glioma, train: 10 images, 1321 published" in report
        assert "Nothing to be done" in again, "Snakemake asks for what DVC has built"
        assert pilot.parameters["profile"] == "pilot"

    @typed(
        "hdkd borrow --profile pilot --group methods --minutes 60",
        "hdkd import-runs .",
        "snakemake --cores 2 methods --config profile=pilot",
    )
    def test_are_what_a_method_more_is_compared_on(self, pilot, downloads, commands):
        chosen = pilot.parameters
        compared = {"subsets": {"brain_tumor": [16]}, "hybrid": ["alone", "hdkd"], "seeds": [0]}
        chosen["methods"]["pilot"] = compared
        pilot.write(chosen)
        borrowed, imported, again = printed(pilot, commands)
        assert "2 of 2 chosen runs are finished" in borrowed
        assert "pilot: " in imported
        assert "Training" not in again
        report = (pilot.folder / "reports/pilot/README.md").read_text("utf-8")
        assert "### Methods" in report

    @pytest.mark.slow
    def test_are_searched_for_copies_as_the_page_on_leaks_shows(self, pilot, monkeypatch):
        monkeypatch.chdir(pilot.folder)
        [code] = blocks(page("docs/leaks.md"), "python")
        defined = {}
        exec(code, defined)
        listed = pd.read_csv("data/prepared/pilot/brain_tumor/copies.csv")
        assert len(defined["pairs"]) == len(listed)
        assert len(defined["clusters"]) == 4 * (10 + 4)


class TestALongStudy:
    """In this order."""

    @typed(
        "make study PROFILE=reduced MINUTES=150",
        "hdkd borrow --state --profile reduced",
        "hdkd import-runs --commit .",
    )
    def test_is_trained_in_pieces_and_committed(self, reduced, commands):
        _, state, imported = printed(reduced, commands)
        assert state == "reduced: 5 of 5 runs done, 0 running, 0.0 hours of training left\n"
        assert imported.endswith("committed\n")

    @typed("snakemake --cores 2 methods report --config profile=reduced")
    def test_has_a_report_that_compares_its_methods(self, reduced, commands):
        report = reduced.folder / "reports/reduced/report.html"
        report.unlink()
        printed(reduced, commands)
        assert methods()["cskd"].title in report.read_text("utf-8")


def test_a_long_study_has_as_many_runs_as_its_page_says():
    settings = config.load(ROOT / "params.yaml", "reduced")
    assert f"# reduced: 12 of {len(value_order(settings))} runs" in page("docs/long-studies.md")


@typed("hdkd borrow --list --profile paper --minutes 30")
def test_what_is_missing_is_listed_in_order_of_value(planning, commands):
    [listed] = printed(planning, commands)
    assert listed.splitlines()[2].startswith("models/paper/teacher/brain_tumor/")


@typed(
    "snakemake --workflow-profile profiles/slurm tuning",
    "snakemake --workflow-profile profiles/slurm all --groups train_student=short "
    "--group-components short=10",
)
def test_short_runs_are_grouped_once_the_settings_are_chosen(tmp_path, commands):
    chosen = small_studies()
    chosen["tuning"]["demo"] = {"datasets": ["phantom"], "subset": 16, "grid": [{"lr": 0.002}]}
    project = Project(tmp_path / "project", chosen)
    without_plugins(project)
    tuning, grouped = commands
    planned = f"{grouped} --dry-run"  # on one machine groups change nothing
    refused = project.run("bash", "-c", planned, check=False).stdout
    assert "Group short depends on itself" in refused
    printed(project, (tuning, planned))


class TestAnOfflineMachine:
    """In this order."""

    @typed(
        "hdkd pack --profile paper --dataset brain_tumor --machine machine.txt",
        "bash carried/offline.sh 25 3",
        "hdkd import-runs carried/bundle",
    )
    def test_trains_what_is_carried_there(self, home, downloads, commands):
        archive = str(downloads / "Downloads/brain-tumor-mri-dataset.zip")
        *_, imported = printed(home, commands, HDKD_BRAIN_TUMOR=archive)
        assert "3 new run folders, 3 new runs in MLflow" in imported

    @typed("bash carried/offline.sh 15 N", "hdkd import-runs --commit carried/bundle")
    def test_has_nothing_left_to_train_then(self, home, commands):
        there, imported = printed(home, commands)
        assert "paper: 3 of 3 runs done" in there
        assert imported.endswith("committed\n")

    @typed('git add reports/benchmarks_gpu.md && git commit -m "Measured on a GPU"')
    def test_leaves_a_report_of_its_speed_that_is_committed(self, home, commands):
        (home.folder / "reports/benchmarks_gpu.md").write_text("# Benchmarks\n")
        printed(home, commands)
        assert home.run("git", "log", "-1", "--format=%s").stdout == "Measured on a GPU\n"

    @typed("dvc pull data/runs/paper.dvc", "hdkd import-runs data/runs/paper/*")
    def test_shares_its_runs_by_dvc(self, home, tmp_path, commands):
        home.run("git", "add", "data")
        home.run("git", "commit", "--quiet", "--message", "runs")
        home.run("dvc", "push")
        clone = Project.existing(tmp_path / "clone")
        home.run("git", "clone", "--quiet", ".", str(clone.folder))
        *_, imported = printed(clone, commands)
        assert "3 new run folders, 3 new runs in MLflow" in imported


class TestSharing:
    """In this order."""

    @typed("snakemake --cores 4 data", "snakemake --cores 2 data")
    def test_groups_of_targets_are_built_by_name(self, shared, commands):
        _, again = printed(shared, commands)
        assert (shared.folder / "data/prepared/demo/phantom/images.npy").exists()
        assert not (shared.folder / "models").exists()
        assert "Nothing to be done" in again

    @pytest.mark.slow
    def test_dvc_keeps_what_snakemake_has_built_but_in_an_experiment(self, shared):
        [repeated] = printed(shared, ("dvc repro data",))
        assert "Nothing to be done" in repeated
        (shared.folder / "dvc.lock").unlink()
        [experiment] = printed(shared, ("dvc exp run data",))
        assert "Acquiring the images" in experiment

    @typed("dvc repro", "dvc metrics diff", "dvc plots show")
    def test_dvc_builds_the_study_and_shows_it(self, shared, commands):
        _, metrics, plots = printed(shared, commands)
        assert "phantom.hdkd-mbcsa-s2.n16.accuracy" in metrics
        assert "dvc_plots/index.html" in plots
        assert "Nothing to be done" in shared.snakemake("all").stderr

    @typed("dvc push", "make pull")
    def test_a_clone_gets_everything_and_has_nothing_left_to_do(self, shared, tmp_path, commands):
        push, pull = commands
        ignored = shared.folder / ".gitignore"
        ignored.write_text(ignored.read_text().replace("/reports/demo/\n", ""))
        shared.run("git", "add", "dvc.lock", "reports")
        shared.run("git", "commit", "--quiet", "--all", "--message", "results")
        shared.run("dvc", "repro", "--force", "--single-item", "report")  # git has none of DVC's
        printed(shared, (push,))
        clone = Project.existing(tmp_path / "clone")
        shared.run("git", "clone", "--quiet", ".", str(clone.folder))
        (clone.folder / ".venv").mkdir()
        (clone.folder / ".venv/.installed").touch()
        printed(clone, (pull,))
        assert clone.planned_rules() == set()

    @typed(
        "dvc remote add --default store s3://hdkd/study",
        "dvc remote modify store endpointurl http://store.example.org:9000",
    )
    def test_a_store_is_named_to_dvc(self, shared, commands):
        printed(shared, commands)
        config = (shared.folder / ".dvc/config").read_text()
        assert "remote = store\n" in config
        assert "endpointurl = http://store.example.org:9000\n" in config


class TestTheList:
    def test_has_every_command_of_every_page(self):
        assert sorted(shown() - RUN - set(NOT_RUN)) == []

    def test_has_no_command_that_no_page_shows_any_more(self):
        assert sorted((RUN | set(NOT_RUN)) - shown() - named()) == []

    def test_has_none_that_is_run_and_not_run(self):
        assert sorted(RUN & set(NOT_RUN)) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", NOT_RUN)
def test_a_command_that_is_not_run_here_would_be_accepted(planning, command):
    check(command, planning)


@pytest.mark.parametrize("command", sorted(named() - RUN - set(NOT_RUN)))
def test_what_a_page_names_is_there(planning, command):
    check(command, planning)
