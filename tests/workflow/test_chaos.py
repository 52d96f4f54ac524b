"""Faults on purpose, as `make chaos` makes them: everything survives."""

import random
import re
import subprocess
import sys
import time

import pytest

from chaos.workflow import killed_and_started_again, numbers
from project import ROOT, Project


@pytest.mark.slow
def test_trainings_survive_twenty_kills_every_write_point_and_changed_bits(tmp_path):
    report = tmp_path / "reliability.md"
    environment = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-m", "chaos", "--only", "runs", "--output", str(report)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    counts = re.findall(r"\| (\w+) .*?\| +(\d+) \| +(\d+) \|", report.read_text())
    assert all(tried == survived for _, tried, survived in counts)
    tried = [int(number) for _, number, _ in counts]
    assert tried[0] == 20
    assert tried[1] > 30
    assert len(tried) == 5


@pytest.mark.slow
def test_a_workflow_killed_five_times_ends_with_the_same_numbers(built, tmp_path, tiny_parameters):
    disturbed = Project(tmp_path / "disturbed", tiny_parameters)
    hits = killed_and_started_again(disturbed, 5, random.Random(0))
    assert hits == 5
    assert numbers(disturbed).equals(numbers(built))


def test_a_second_workflow_says_that_the_first_is_running(tmp_path, tiny_parameters):
    project = Project(tmp_path / "project", tiny_parameters)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    first = subprocess.Popen(
        ["snakemake", "--cores", "1", "all"], cwd=project.folder, env=project.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        while not list((project.folder / ".snakemake" / "locks").glob("*")):
            time.sleep(0.1)
        for second in (["snakemake", "--cores", "1", "all"], ["dvc", "repro", "data"]):
            result = project.run(*second, check=False)
            assert result.returncode != 0
            assert "no other Snakemake process" in result.stderr
            assert "--unlock" in result.stderr
            assert "Traceback" not in result.stderr
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(first.pid)], check=False)
        first.wait()
    # The first was killed: its lock stays, and the sentence names the command that clears it.
    assert "--unlock" in project.snakemake("data", check=False).stderr
    project.snakemake("--unlock")
    project.snakemake("data")
