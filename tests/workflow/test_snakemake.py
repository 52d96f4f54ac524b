"""The whole graph on a tiny configuration, and what reruns when something changes."""

import base64
import copy
import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from commands import spans
from hdkd import config
from hdkd.runs import predictions
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from project import ROOT, Project

# Teacher; student and HDKD on two subsets; teacher, student, HDKD with the other block; HDKD with
# hard labels; a baseline.
RUNS = 10


REPORTING = {"tables", "figures_phantom", "page", "all"}


@pytest.fixture(scope="module")
def settings(tiny_parameters) -> config.Settings:
    return config.resolve(tiny_parameters)


def run_folders(project: Project, settings: config.Settings) -> list[RunFolder]:
    return [RunFolder(project.folder / key.folder) for key in plan.all_runs(settings, "phantom")]


def test_every_training_leaves_a_whole_run_folder(built, settings):
    folders = run_folders(built, settings)
    assert len(folders) == RUNS
    for folder in folders:
        summary = folder.summary
        predictions = folder.predictions
        right = (predictions["predicted"] == predictions["class"]).mean()
        assert summary.final.accuracy == pytest.approx(right)
        assert len(folder.metrics) == summary.epochs
        assert summary.validation.accuracy == folder.metrics["validation_accuracy"].iloc[-1]
        assert summary.best_epoch is None, "no epoch was looked at on the test images"


def test_student_and_hdkd_of_one_seed_see_the_same_images(built, settings):
    digests = {}
    for key in plan.student_runs(settings, "phantom"):
        data = RunFolder(built.folder / key.folder).params.data
        digests.setdefault((key.subset, key.seed), set()).add(data.training_digest)
    assert all(len(seen) == 1 for seen in digests.values())


def test_only_the_teacher_gets_synthetic_images(built, settings):
    for folder in run_folders(built, settings):
        summary = folder.summary
        expected = 14 * 4 - 42 if summary.run.role == "teacher" else 0
        assert summary.synthetic_images == expected


def test_tables_are_those_of_the_run_folders(built, settings):
    table = pd.read_csv(built.folder / "reports/demo/runs.csv")
    assert len(table) == RUNS
    for row in table.itertuples():
        summary = RunFolder(built.folder / row.run).summary
        assert row.accuracy == pytest.approx(summary.final.accuracy, abs=1e-5)


def test_predictions_of_every_training_are_in_one_file(built, settings):
    found = predictions.read(built.folder / "reports/demo")
    for key in plan.all_runs(settings, "phantom"):
        table = RunFolder(built.folder / key.folder).predictions.sort_values("path")
        (probabilities,) = found.cell([key.folder.as_posix()])
        answers = [found.images["phantom"].classes[k] for k in probabilities.argmax(axis=1)]
        assert answers == list(table["predicted"])


def test_the_ablation_of_distillation_is_paired_with_hdkd_of_the_same_seed(built, settings):
    runs = pd.read_csv(built.folder / "reports/demo/runs.csv", keep_default_na=False)
    small = runs[(runs["subset"] == "16") & (runs["block"] == "mbcsa")].set_index("run")["accuracy"]
    as_it_is = next(v for run, v in small.items() if "students/phantom/hdkd" in run)
    hard = next(v for run, v in small.items() if "hard_labels" in run)
    text = (built.folder / "reports/demo/README.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| hard labels"))
    assert "teacher's labels = hard" in row
    assert f"{100 * hard:.2f}" in row
    assert f"{100 * (hard - as_it_is):+.2f} " in row
    alone = next(v for run, v in small.items() if "students/phantom/student" in run)
    assert f"| no teacher | {100 * alone:.2f} |" in re.sub(" +", " ", text)


def test_a_baseline_stands_beside_teacher_student_and_hdkd(built):
    text = (built.folder / "reports/demo/README.md").read_text().partition("### Baselines")[2]
    text = text.partition("\n## ")[0]
    models = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert models == ["Model", "MobileNetV2", "Teacher", "Student alone", "HDKD"]


def test_the_ledger_has_no_measurement_of_generated_images(built):
    ledger = pd.read_csv(built.folder / "reports/ledger.csv", keep_default_na=False, dtype=str)
    trained = ledger[ledger["row"].str.endswith(("accuracy", "gain"))]
    assert set(trained["verdict"]) == {"not run"}
    assert set(trained["pilot"]) == {""}


def test_the_report_needs_no_network_and_says_what_the_images_are(built):
    page = (built.folder / "reports/demo/report.html").read_text()
    loaded = re.findall(r'(?:src|srcset|href)="([^"]*)"', page)
    assert {address.split(":")[0] if ":" in address else address[0] for address in loaded} == {
        "data",
        "#",
    }
    assert "generated images, not patients" in page
    assert str(built.folder) not in page


def test_a_second_run_does_nothing(built):
    assert "Nothing to be done" in built.snakemake("all").stderr


def test_a_dry_run_writes_no_parameters(built):
    written = built.folder / ".snakemake/hdkd"
    before = set(written.iterdir())
    built.planned_rules("--config", "study=[phantom]")
    assert set(written.iterdir()) == before


def test_results_of_another_profile_change_the_ledger_and_what_shows_it_only(built):
    evidence = built.folder / "reports/pilot/data.json"
    evidence.parent.mkdir()
    try:
        evidence.write_text("{}")
        assert built.planned_rules() == {"compare", "page", "all"}
        listed = built.run("snakemake", "--summary", "reports/ledger.csv").stdout
        assert "reports/pilot" not in listed
    finally:
        shutil.rmtree(evidence.parent)


def test_what_people_write_about_the_runs_goes_into_tables_and_page_only(built):
    notes = built.folder / "reports/demo/notes.md"
    try:
        notes.write_text("A busy machine.")
        assert {"tables", "page"} <= built.planned_rules() <= REPORTING
    finally:
        notes.unlink()


def test_the_students_learning_rate_reruns_students_and_what_hangs_on_them(built, tmp_path):
    parameters = copy.deepcopy(built.parameters)
    parameters["student"]["demo"]["lr"] = 0.0007
    changed = tmp_path / "changed.yaml"
    changed.write_text(json.dumps(parameters))
    rules = built.planned_rules("--configfile", str(changed))
    trained_alike = {"train_student", "train_hdkd", "train_baseline", "list_runs"}
    assert rules == trained_alike | REPORTING


def test_the_weight_of_distillation_reruns_hdkd_only(built, tmp_path):
    parameters = copy.deepcopy(built.parameters)
    parameters["distillation"]["demo"] = {"alpha": 0.9}
    changed = tmp_path / "changed.yaml"
    changed.write_text(json.dumps(parameters))
    rules = built.planned_rules("--configfile", str(changed))
    assert rules == {"train_hdkd", "list_runs"} | REPORTING


def test_one_more_baseline_trains_only_that_one(built, tmp_path):
    parameters = copy.deepcopy(built.parameters)
    parameters["baselines"]["demo"]["models"].append("pvt_tiny")
    changed = tmp_path / "changed.yaml"
    changed.write_text(json.dumps(parameters))
    rules = built.planned_rules("--configfile", str(changed))
    assert rules == {"train_baseline", "list_runs"} | REPORTING


@pytest.mark.parametrize(
    ("before", "after", "trained"),
    [
        ('.get(float(self.alpha), "both")', '.get(float(self.alpha), "class")', {"train_hdkd"}),
        (
            '{"depths": self.student_depths}',
            '{"depths": (9, *self.student_depths[1:])}',
            {"train_student", "train_hdkd"},
        ),
    ],
    ids=["predicting heads", "arguments of networks"],
)
def test_a_changed_rule_for_settings_trains_what_gets_others(built, before, after, trained):
    path = built.folder / "hdkd" / "config" / "training.py"
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    try:
        assert built.planned_rules() == trained | {"list_runs"} | REPORTING
    finally:
        path.write_text(text)


def test_results_of_other_parameters_are_refused_by_name(built, tmp_path):
    parameters = copy.deepcopy(built.parameters)
    parameters["student"]["demo"]["lr"] = 0.0007
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(parameters))
    result = built.run("hdkd", "tables", "--params", str(changed), check=False)
    assert result.returncode == 2
    assert "n16/seed0 (training.lr 0.004 instead of 0.0007)" in result.stderr


def test_the_same_seed_gives_the_same_weights(built, settings, tmp_path):
    key = next(k for k in plan.student_runs(settings, "phantom") if k.role == "hdkd")
    teacher = plan.teacher_runs(settings, "phantom")[0].folder
    command = ["hdkd", "train", "--dataset", "phantom", "--role", "hdkd", "--subset", key.subset]
    command += ["--seed", str(key.seed), "--teacher", str(teacher), "--threads", "1"]
    built.run(*command, "--no-tracking", "--output", str(tmp_path / "again"))
    first = built.folder / key.folder / "model.safetensors"
    assert (tmp_path / "again/model.safetensors").read_bytes() == first.read_bytes()


def test_snakemake_finds_nothing_to_lint(built):
    result = built.run("snakemake", "--lint", check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakemakes_own_report_has_the_captions(built, tmp_path):
    built.run("snakemake", "--report", str(tmp_path / "report.html"), "all")
    page = (tmp_path / "report.html").read_text()
    assert "counterpart of the paper" in page


class TestMLflow:
    @pytest.fixture
    def runs(self, built, monkeypatch) -> pd.DataFrame:
        monkeypatch.chdir(built.folder)
        mlflow.set_tracking_uri(f"sqlite:///{built.folder}/mlflow/mlflow.db")
        return mlflow.search_runs(experiment_names=["hdkd-demo-phantom"])

    def test_has_one_finished_run_per_training_below_its_sweep(self, runs):
        sweeps = runs[runs["tags.hdkd.sweep"] == "true"]
        runs = runs[runs["tags.mlflow.parentRunId"].notna()]
        assert len(sweeps) == 1
        assert len(runs) == RUNS
        assert set(runs["tags.mlflow.parentRunId"]) == {sweeps["run_id"].iloc[0]}
        assert set(runs["status"]) == {"FINISHED"}
        for tag in ("dataset", "profile", "role", "subset", "seed", "git_commit", "data_hash"):
            assert runs[f"tags.{tag}"].notna().all(), tag

    def test_has_every_metric_of_every_epoch(self, runs, built, settings):
        client = mlflow.MlflowClient()
        for folder in run_folders(built, settings):
            run = folder.summary.mlflow_run
            for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
                # MLflow orders by time, which may be the same for short epochs.
                history = sorted(client.get_metric_history(run, name), key=lambda each: each.step)
                logged = [metric.value for metric in history]
                assert logged == pytest.approx(folder.metrics[name].tolist())

    def test_has_a_model_that_predicts_as_the_run_did(self, runs, built, settings):
        key = next(k for k in plan.student_runs(settings, "phantom") if k.role == "hdkd")
        folder = RunFolder(built.folder / key.folder)
        client = mlflow.MlflowClient()
        models = client.search_logged_models(
            [client.get_run(folder.summary.mlflow_run).info.experiment_id],
            filter_string=f"source_run_id = '{folder.summary.mlflow_run}'",
        )
        model = mlflow.pyfunc.load_model(models[0].model_uri)
        first = folder.predictions.iloc[0]
        image = built.folder / "data/raw/phantom/files" / first["path"]
        encoded = base64.b64encode(image.read_bytes()).decode()
        answer = model.predict(pd.DataFrame({"image": [encoded]})).iloc[0]
        assert answer["class"] == first["predicted"]
        assert answer["p_glioma"] == pytest.approx(first["p_glioma"], abs=1e-4)

    def test_has_hdkd_on_most_images_as_the_registered_model(self, runs, built, settings):
        keys = [k for k in plan.student_runs(settings, "phantom") if k.role == "hdkd"]
        [chosen] = [key for key in keys if key.subset == "all"]
        summary = RunFolder(built.folder / chosen.folder).summary
        client = mlflow.MlflowClient()
        version = client.get_model_version_by_alias("hdkd-demo-phantom", "best")
        assert version.run_id == summary.mlflow_run
        assert version.tags["chosen"] == "as the best of its seeds on the validation images"
        assert (version.tags["subset"], version.tags["seed"]) == ("all", str(chosen.seed))
        assert version.description.startswith(
            "# HDKD for Phantom (synthetic)\n\n**Not for clinical"
        )
        information = mlflow.models.get_model_info("models:/hdkd-demo-phantom@best")
        assert [each.name for each in information.signature.inputs] == ["image"]
        model = mlflow.pyfunc.load_model("models:/hdkd-demo-phantom@best")
        [answer] = model.predict(model.input_example).to_dict("records")
        assert sum(v for name, v in answer.items() if name != "class") == pytest.approx(1, abs=1e-4)
        times = client.get_run(version.run_id).info
        seconds = (times.end_time - times.start_time) / 1000
        assert seconds == pytest.approx(summary.provenance.duration_seconds, abs=0.01)

    def test_delivers_nothing_twice(self, runs, built):
        said = built.run("hdkd", "deliver").stdout
        assert said == "new to MLflow, or incomplete there: 0 runs, 0 reports, 0 models\n"

    @pytest.mark.slow
    def test_serves_the_registered_model(self, runs, built):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        guide = (ROOT / "docs/reading-results.md").read_text("utf-8")
        [command] = [each for each in spans(guide) if "models serve" in each]
        server = subprocess.Popen(
            ["bash", "-c", f"{command} --port {port}"],
            cwd=built.folder,
            env=built.environment(PYTHONPATH=""),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            image = next((built.folder / "data/raw/phantom/files/test").rglob("*.png"))
            record = {"image": base64.b64encode(image.read_bytes()).decode()}
            body = json.dumps({"dataframe_records": [record]}).encode()
            header = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{address}/invocations", body, header)
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(request) as response:
                        [answer] = json.load(response)["predictions"]
                    break
                except urllib.error.URLError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.5)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
        names = {"glioma", "meningioma", "none", "pituitary"}
        assert set(answer) == {"class"} | {f"p_{name}" for name in names}
        assert answer["class"] in names

    def test_shows_the_reports_plots_in_the_sweep(self, runs):
        sweep = runs[runs["tags.hdkd.sweep"] == "true"]["run_id"].iloc[0]
        artifacts = {item.path for item in mlflow.MlflowClient().list_artifacts(sweep, "figures")}
        assert "figures/accuracy.svg" in artifacts

    def test_shows_the_ledger_in_the_sweep(self, runs):
        sweep = runs[runs["tags.hdkd.sweep"] == "true"]["run_id"].iloc[0]
        artifacts = {item.path for item in mlflow.MlflowClient().list_artifacts(sweep, "report")}
        assert {"report/ledger.csv", "report/ledger.md"} <= artifacts


@pytest.fixture(scope="module")
def exported(built) -> RunFolder:
    built.run("hdkd", "export", "--dataset", "phantom", "--output", "exported/phantom")
    return RunFolder(built.folder / "exported" / "phantom")


class TestExport:
    def test_is_hdkd_on_all_images_with_the_first_seed(self, exported, settings):
        assert exported.exported.run == (
            next(
                key
                for key in plan.student_runs(settings, "phantom")
                if (key.role, key.subset, key.seed) == ("hdkd", "all", 0)
            )
        )

    def test_has_half_the_bytes_and_the_run_s_answers(self, built, exported):
        run = RunFolder(built.folder / exported.exported.run_folder)
        sizes = [(f.path / "model.safetensors").stat().st_size for f in (exported, run)]
        assert sizes[0] < 0.75 * sizes[1]  # names and shapes of a tiny network stay as long
        predictions = run.predictions
        images = [f"data/raw/phantom/files/{path}" for path in predictions["path"]]
        output = built.run("hdkd", "predict", "--model", "exported/phantom", "--json", *images)
        answers = [json.loads(line)["class"] for line in output.stdout.splitlines()]
        changed = sum(np.array(answers) != predictions["predicted"].to_numpy())
        assert changed == exported.exported.changed
        right = (np.array(answers) == predictions["class"].to_numpy()).mean()
        assert exported.exported.final.accuracy == pytest.approx(right)
        assert "not for clinical use" in output.stderr

    def test_its_card_says_that_the_images_are_generated(self, exported):
        card = (exported.path / "README.md").read_text()
        assert "Generated images, drawn by a program" in card
        assert "Not for clinical use" in card

    def test_takes_the_place_of_its_own_run_only(self, built, exported):
        before = (exported.path / "SHA256SUMS").read_bytes()
        command = ("hdkd", "export", "--dataset", "phantom", "--output", "exported/phantom")
        student = "models/demo/students/phantom/student-mbcsa-s2/nall/seed0"
        result = built.run(*command, "--run", student, check=False)
        assert result.returncode == 2
        assert result.stderr == (
            f"error: exported/phantom holds {exported.exported.run_folder} "
            f"{exported.exported.provenance.started}: name another folder with --output, or "
            "remove it first\n"
        )
        assert (exported.path / "SHA256SUMS").read_bytes() == before
        built.run(*command)

    def test_its_terms_are_those_of_its_images(self, exported):
        text = (exported.path / "LICENSE").read_text()
        assert (
            "The images have the licence Apache-2.0; the same terms hold for the weights." in text
        )

    def test_damaged_weights_are_not_handed_over(self, built, exported):
        run = built.folder / "damaged"
        shutil.copytree(built.folder / exported.exported.run_folder, run)
        weights = run / "model.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        command = ("hdkd", "export", "--dataset", "phantom", "--run", "damaged", "--output", "no")
        result = built.run(*command, check=False)
        assert result.returncode == 2
        assert result.stderr.startswith("error: damaged/model.safetensors is damaged")
        assert not (built.folder / "no").exists()

    def test_is_not_written_over_something_else(self, built):
        folder = built.folder / "precious"
        folder.mkdir()
        (folder / "thesis.txt").write_text("all of it")
        command = ("hdkd", "export", "--dataset", "phantom", "--output", "precious")
        result = built.run(*command, check=False)
        assert result.returncode == 2
        assert result.stderr.startswith("error: precious holds something else")
        assert (folder / "thesis.txt").exists()


class TestPredict:
    def test_prints_class_and_probabilities_as_saved(self, built, settings):
        key = plan.teacher_runs(settings, "phantom")[0]
        predictions = RunFolder(built.folder / key.folder).predictions.iloc[:3]
        images = [f"data/raw/phantom/files/{path}" for path in predictions["path"]]
        output = built.run("hdkd", "predict", "--model", str(key.folder), "--json", *images).stdout
        answers = [json.loads(line) for line in output.splitlines()]
        assert [answer["class"] for answer in answers] == predictions["predicted"].tolist()
        for answer, row in zip(answers, predictions.itertuples(), strict=True):
            assert answer["probabilities"]["none"] == pytest.approx(row.p_none, abs=1e-4)
            assert np.sum(list(answer["probabilities"].values())) == pytest.approx(1, abs=1e-4)

    def test_prints_a_table(self, built, settings):
        key = plan.teacher_runs(settings, "phantom")[0]
        image = "data/raw/phantom/files/test/none/0000.png"
        output = built.run("hdkd", "predict", "--model", str(key.folder), image).stdout
        assert output.splitlines()[0].split() == [
            "image", "class", "glioma", "meningioma", "none", "pituitary",
        ]  # fmt: skip
        assert image in output

    def test_names_what_is_no_image(self, built, settings):
        key = plan.teacher_runs(settings, "phantom")[0]
        result = built.run(
            "hdkd", "predict", "--model", str(key.folder), "params.yaml", "gone.png", check=False
        )
        assert result.returncode == 2
        assert (
            result.stderr
            == "error: not usable: params.yaml: not a complete image, gone.png: no such file\n"
        )

    def test_names_a_folder_that_is_no_run(self, built):
        result = built.run("hdkd", "predict", "--model", "data", "a.png", check=False)
        assert result.returncode == 2
        assert result.stderr.startswith(
            "error: data is neither a run folder nor a model that comes with the project"
        )


class TestUserErrors:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ("profil=demo", "error: unknown parameter profil: params.yaml takes profile, study"),
            (
                "profile=full",
                "error: profile must be one of demo, own, pilot, reduced, paper, not 'full'",
            ),
            ("study=[mri]", "error: there is no dataset 'mri': datasets has phantom"),
        ],
    )
    def test_wrong_parameters_stop_before_the_first_job(self, built, change, sentence):
        result = built.snakemake("all", "--config", change, check=False)
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1].startswith(sentence)
        assert "Traceback" not in result.stderr

    def test_a_failing_step_shows_its_sentence_and_keeps_what_is_built(self, built):
        result = built.snakemake("data", "--config", "study=[folder]", check=False)
        assert result.returncode != 0
        assert "error: dataset folder: name your folder or archive in" in result.stderr
        assert "Traceback" not in result.stderr
        assert "Nothing to be done" in built.snakemake("all").stderr


# Names of classes that would do harm where they reach a shell, a template, a formula or a web page.
HOSTILE = {"blob": "<img src=x onerror=alert(1)>{{7*7}}", "stripes": "$(touch pwned) $x^$ NA"}


def test_a_folder_of_ones_own_images_with_any_names_is_studied_by_the_same_graph(
    tmp_path, image_folder, tiny_parameters
):
    parameters = copy.deepcopy(tiny_parameters)
    parameters["ablations"]["demo"] = {"variants": [], "subset": "all", "distillation": None}
    parameters["baselines"]["demo"]["models"] = []
    parameters["datasets"]["folder"]["subsets"] = [8, "all"]
    for part in ("train", "test"):
        for old, new in HOSTILE.items():
            (image_folder / part / old).rename(image_folder / part / new)
    project = Project(tmp_path / "project", parameters)
    project.snakemake("all", "--config", "study=[folder]", HDKD_FOLDER=str(image_folder))
    page = (project.folder / "reports/demo/report.html").read_text()
    assert "My images" in page
    for name in HOSTILE.values():
        assert html.escape(name) in page
    assert "<img src=x" not in page
    assert not (project.folder / "pwned").exists()
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["hdkd-demo-folder"])
    assert set(runs[runs["tags.role"].notna()]["status"]) == {"FINISHED"}
    assert "generated images" not in page
    gains = pd.read_csv(project.folder / "reports/demo/gains.csv")
    assert gains["training_images"].tolist() == [8, 22]


@pytest.fixture
def acquired(tmp_path, image_folder, tiny_parameters) -> Project:
    """Images of one's own, acquired and prepared, whose folder the variable names no longer."""
    parameters = copy.deepcopy(tiny_parameters)
    parameters["ablations"]["demo"] = {"variants": [], "subset": "all", "distillation": None}
    parameters["study"] = ["folder"]
    project = Project(tmp_path / "project", parameters)
    project.snakemake("data", HDKD_FOLDER=str(image_folder))
    return project


def test_images_of_ones_own_are_acquired_again_when_they_change(acquired, image_folder):
    def planned() -> str:
        plan = acquired.snakemake("--dry-run", "data", HDKD_FOLDER=str(image_folder))
        return plan.stdout + plan.stderr

    assert "Nothing to be done" in planned()
    (image_folder / "train/blob/image 0.png").rename(image_folder / "train/stripes/corrected.png")
    assert "Acquiring the images of folder" in planned()


def test_images_of_ones_own_that_have_moved_are_not_acquired_again(acquired, image_folder):
    moved = image_folder.rename(image_folder.with_name("moved"))
    for place in (str(moved), ""):
        plan = acquired.snakemake("--dry-run", "data", HDKD_FOLDER=place)
        assert "Nothing to be done" in plan.stdout + plan.stderr
