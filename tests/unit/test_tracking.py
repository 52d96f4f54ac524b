"""MLflow mirrors a run folder: in progress, stopped, finished, delivered later, delivered twice."""

import pytest

from hdkd.errors import UnfinishedError
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Origin
from hdkd.study.key import RunKey
from hdkd.tracking import live, mirror, store
from hdkd.tracking.live import Live
from hdkd.tracking.mirror import Mirror, deliver
from small import ORIGIN, PROVENANCE, params_of, summary_of

KEY = RunKey("demo", "noise", "students", "student", "all", 0)


@pytest.fixture(scope="module", autouse=True)
def mlflow(tmp_path_factory):
    """MLflow with a store of this module's own."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield store.connect()


def start_run(path, minute: int) -> tuple[RunFolder, Origin]:
    """A run that started at that minute, without an epoch."""
    folder = RunFolder(path)
    folder.start(params_of("student", run=KEY))
    return folder, Origin(**ORIGIN | {"started": f"2026-01-01T10:{minute:02}:00+00:00"})


def end(folder: RunFolder, origin: Origin) -> None:
    (folder.path / "predictions.csv").write_text("")
    (folder.path / "model.safetensors").write_text("")
    folder.write_summary(summary_of(KEY, provenance=PROVENANCE | origin.content()))
    (folder.path / "model.safetensors").unlink()  # as it travels: a model is logged elsewhere


def epoch(number: int) -> dict:
    return {"epoch": number, "train_loss": 1 / number, "validation_loss": None}


def steps(mlflow, run: str) -> list[int]:
    history = mlflow.MlflowClient().get_metric_history(run, "train_loss")
    return sorted(metric.step for metric in history)


def status(mlflow, run: str) -> str:
    return mlflow.MlflowClient().get_run(run).info.status


def test_a_training_is_followed_from_its_start_to_its_end(mlflow, tmp_path):
    folder, origin = start_run(tmp_path, 1)
    followed = Mirror(folder, origin)
    followed.update("RUNNING")
    assert (status(mlflow, followed.run), steps(mlflow, followed.run)) == ("RUNNING", [])
    for number in (1, 2):
        folder.append_metrics(epoch(number))
        followed.update("RUNNING")
        followed.update("RUNNING")
    assert steps(mlflow, followed.run) == [1, 2]
    end(folder, origin)
    assert followed.update("FINISHED")
    run = mlflow.MlflowClient().get_run(followed.run)
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 60_000
    assert run.data.metrics["final_accuracy"] == 1.0
    assert run.data.params["data.title"] == "Noise"
    assert deliver([tmp_path]) == 0


def test_a_stopped_training_goes_on_in_its_run_and_logs_no_epoch_twice(mlflow, tmp_path):
    folder, origin = start_run(tmp_path, 2)
    folder.append_metrics(epoch(1))
    stopped = Mirror(folder, origin)
    stopped.update("KILLED")
    assert status(mlflow, stopped.run) == "KILLED"
    folder.append_metrics(epoch(2))
    again = Mirror(folder, origin)
    assert again.run == stopped.run
    again.update("RUNNING")
    assert (status(mlflow, again.run), steps(mlflow, again.run)) == ("RUNNING", [1, 2])


def test_what_an_outage_left_is_delivered_once(mlflow, tmp_path):
    folder, origin = start_run(tmp_path, 3)
    folder.append_metrics(epoch(1))
    seen = Mirror(folder, origin)
    seen.update("RUNNING")
    folder.append_metrics(epoch(2))
    end(folder, origin)
    assert (deliver([tmp_path]), deliver([tmp_path])) == (1, 0)
    assert (status(mlflow, seen.run), steps(mlflow, seen.run)) == ("FINISHED", [1, 2])
    assert not (tmp_path / mirror.NOTE).exists()


def test_a_training_begun_anew_takes_the_place_of_the_one_that_was_killed(mlflow, tmp_path):
    killed = Mirror(*start_run(tmp_path, 4))
    anew = Mirror(*start_run(tmp_path, 5))
    assert anew.run != killed.run
    assert mlflow.MlflowClient().get_run(killed.run).info.lifecycle_stage == "deleted"
    assert (tmp_path / mirror.NOTE).read_text() == anew.run


def test_mlflow_out_of_reach_is_said_once_and_costs_the_training_nothing(
    monkeypatch, tmp_path, capsys
):
    class Failing(Mirror):
        def update(self, status: str) -> bool:
            raise ConnectionError("no answer")

    monkeypatch.setattr(live, "Mirror", Failing)
    followed = Live()
    assert followed.started(*start_run(tmp_path, 6)), "the summary names the run that there is"
    followed.epoch_ended()
    followed.ended("FINISHED")
    assert capsys.readouterr().err.count("failed (no answer); going on without it") == 1


def test_a_signal_during_an_update_ends_the_training(monkeypatch, tmp_path):
    class Stopped(Mirror):
        def update(self, status: str) -> bool:
            raise UnfinishedError("stopped by SIGTERM")

    monkeypatch.setattr(live, "Mirror", Stopped)
    with pytest.raises(UnfinishedError):
        Live().started(*start_run(tmp_path, 7))


def test_epochs_that_follow_each_other_fast_are_sent_together(monkeypatch, tmp_path):
    folder, origin = start_run(tmp_path, 8)
    updates = []

    class Counted(Mirror):
        def update(self, status: str) -> bool:
            updates.append(status)
            return True

    monkeypatch.setattr(live, "Mirror", Counted)
    followed = Live()
    followed.started(folder, origin)
    for _ in range(100):
        followed.epoch_ended()
    followed.ended("FINISHED")
    assert updates == ["RUNNING", "RUNNING", "FINISHED"]
