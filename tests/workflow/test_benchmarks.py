"""The benchmarks run, on the smallest sizes; what they find there means nothing."""

import os
import subprocess
import sys

import pytest

from benchmarks.bench import Bench, Side
from benchmarks.latency_figure import latencies
from benchmarks.measure import Times
from benchmarks.settings import tiny
from benchmarks.training import generated
from project import ROOT


def bench(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks", "--tiny", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)


@pytest.mark.slow
def test_every_section_is_measured_without_the_released_code(tmp_path):
    result = bench("--output", tmp_path / "benchmarks.md")
    assert result.returncode == 0, result.stderr
    report = (tmp_path / "benchmarks.md").read_text()
    assert "these numbers show that everything runs, and nothing else" in report
    titles = [line[3:] for line in report.splitlines() if line.startswith("## ")]
    assert titles == [
        "One step", "One epoch, and the test set", "One prediction", "Latency", "SMOTE", "Start-up",
        "The graph", "Growth", "Many runs", "Many images", "Roofline",
    ]  # fmt: skip
    assert "without channels last" in report


@pytest.mark.slow
def test_the_table_of_a_gpu_is_rehearsed_on_a_cpu(tmp_path):
    result = bench("--gpu", "cpu", "--output", tmp_path / "gpu.md")
    assert result.returncode == 0, result.stderr
    report = (tmp_path / "gpu.md").read_text()
    assert "a CPU: a rehearsal, not a result" in report
    assert "| hdkd | no recorded graph |" in report
    assert "| hdkd | timm, distilling logits, from files |" in report
    assert "failed" not in report
    assert "| not recorded |" in report
    assert "| a large product |" in report
    assert "  layout: " in report, "the settings that are recommended"
    assert "| runs of HDKD at once |" in report


@pytest.mark.slow
def test_a_side_that_fails_loses_its_row_and_no_other(tmp_path):
    saved = []
    with generated(8, 8, 32) as (folder, _):
        bench = Bench(tiny(None, 1), "cpu", folder, saved.append)
        sides = {name: bench.task("hdkd", side=name) for name in ("unknown", "ours")}
        sides |= {"contiguous": bench.task("hdkd", engine={"layout": "contiguous"})}
        bench.compare("hdkd", {f"side {name}": Side(task, 8) for name, task in sides.items()})
    assert [each.name for each in bench.measured] == ["ours", "side ours", "side contiguous"]
    assert "| hdkd | side unknown | failed |" in saved[-1]


def test_the_page_on_speed_has_the_latencies_of_the_committed_report():
    report = (ROOT / "reports" / "benchmarks.md").read_text("utf-8")
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    float32, int8 = (latencies(report, engine, batch=1) for engine in ("ONNX", "ONNX int8"))
    assert len(float32) == len(int8) == 14
    for name in ("HDKD", "HDKD, stride 4", "MobileNetV3-L", "EfficientNetB0", "CoAtNet-0"):
        assert f"{float32[name]} " in page, name
    assert f"({int8['HDKD']} ms)" in page


def test_a_folder_that_is_no_checkout_is_named(tmp_path):
    result = bench("--gpu", "cpu", "--reference", tmp_path, "--output", tmp_path / "gpu.md")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {tmp_path} has no engine.py")


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    ours, theirs = Times((1.0, 2.0, 4.0)), Times((3.0, 4.0, 10.0))
    assert ours.ratio(theirs) == "**2.50×** (2.00–3.00)"


@pytest.mark.parametrize(("seconds", "text"), [((0.5,), "500.0 ms"), ((2.0, 3.0, 1.0), "2.00 s")])
def test_a_time_is_the_median_with_its_range(seconds, text):
    assert str(Times(seconds)).startswith(text + " (")
