"""Exported models as files for other programs: they answer as the weights do, without torch."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from packaging.requirements import Requirement
from PIL import Image

from exporting import OPTIONS, PREPARED
from hdkd import cli
from hdkd.data.batches.imageset import ImageSet
from hdkd.deploy.card import card
from hdkd.deploy.formats import INT8, ONNX, TORCH, Converter, run_onnx, run_torch
from hdkd.deploy.images import RunImages
from hdkd.deploy.network import Network
from hdkd.deploy.predict import Classifier
from hdkd.errors import RunError
from hdkd.files import read_checksums, sha256
from hdkd.runs.folder import RunFolder
from project import ROOT

FOLDER = Path("converted")
ALL = ["--format", "onnx", "--format", "torch", "--precision", "int8"]


@pytest.fixture(scope="module")
def converted(studied) -> Path:
    """The study, whose model is exported in every format into ``converted``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(studied)
        command = ["export", *OPTIONS, "--run", "run", "--output", str(FOLDER), *ALL]
        assert cli.main(command) == 0
    return studied


@pytest.fixture(autouse=True)
def _inside(converted, monkeypatch):
    monkeypatch.chdir(converted)


def network() -> Network:
    """What the folder's weights and temperature are."""
    classifier = Classifier.load(FOLDER)
    assert classifier.temperature != 1.0
    return Network(classifier.model, classifier.temperature)


def unseen() -> tuple[np.ndarray, np.ndarray]:
    """The test images and their labels."""
    source = ImageSet.load(PREPARED)
    return source.images[source.part("test")], source.labels[source.part("test")]


@pytest.mark.parametrize(("name", "run"), [(ONNX, run_onnx), (TORCH, run_torch)])
class TestFloat32:
    def test_has_the_logits_and_answers_of_the_weights_on_every_test_image(self, name, run):
        images, _ = unseen()
        logits, probabilities, _ = network().answers(images)
        own, own_probabilities = run(FOLDER / name, images)
        assert own == pytest.approx(logits, abs=1e-4)
        assert own_probabilities == pytest.approx(probabilities, abs=1e-5)
        assert (own.argmax(axis=1) == logits.argmax(axis=1)).all()

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_takes_any_number_of_images(self, name, run, count):
        images, _ = unseen()
        every, _ = run(FOLDER / name, images)
        some, _ = run(FOLDER / name, images[:count])
        assert some == pytest.approx(every[:count], abs=1e-5)

    def test_does_not_tell_where_it_was_made(self, name, run, converted):
        content = (FOLDER / name).read_bytes()
        assert str(ROOT).encode() not in content
        assert str(converted).encode() not in content


class TestOnnx:
    @pytest.mark.parametrize("name", [ONNX, INT8])
    def test_passes_the_checker_in_the_fixed_opset_and_says_what_it_is(self, name):
        model = onnx.load(FOLDER / name)
        onnx.checker.check_model(model, full_check=True)
        assert {each.domain: each.version for each in model.opset_import}[""] == 18
        about = {each.key: each.value for each in model.metadata_props}
        folder = RunFolder(FOLDER)
        assert json.loads(about["classes"]) == folder.params.classes
        assert (about["size"], about["colour"]) == ("32", "grey")
        assert float(about["temperature"]) == folder.exported.calibration.temperature
        without = folder.exported.model_copy(update={"conversions": []})
        assert about["card"] == card(without, folder.params)

    def test_takes_bytes_by_name_and_refuses_floats(self):
        session = onnxruntime.InferenceSession(FOLDER / ONNX)
        (pixels,) = session.get_inputs()
        assert (pixels.name, pixels.shape) == ("pixels", ["images", 1, 32, 32])
        assert [each.name for each in session.get_outputs()] == ["logits", "probabilities"]
        with pytest.raises(Exception, match="Unexpected input data type"):
            session.run(None, {"pixels": np.zeros((1, 1, 32, 32), np.float32)})

    def test_in_8_bits_has_the_accuracy_that_the_card_gives(self):
        images, labels = unseen()
        logits, _ = run_onnx(FOLDER / INT8, images)
        done = {each.file: each for each in RunFolder(FOLDER).exported.conversions}
        assert done[INT8].accuracy == pytest.approx((logits.argmax(axis=1) == labels).mean())
        assert done[INT8].quantised_on == len(RunImages.of(RunFolder(Path("run")).params).training)
        kinds = {each.data_type for each in onnx.load(FOLDER / INT8).graph.initializer}
        assert onnx.TensorProto.INT8 in kinds
        scales = [
            each for each in onnx.load(FOLDER / INT8).graph.initializer
            if each.name.endswith("_scale") and len(each.dims) and each.dims[0] > 1
        ]  # fmt: skip
        assert scales, "a scale for each output channel"


@pytest.mark.slow
def test_a_program_of_torch_needs_none_of_this_package(tmp_path):
    images, _ = unseen()
    np.save(tmp_path / "images.npy", images)
    script = """
import sys
sys.modules["hdkd"] = None
import json, numpy, torch
about = {"about.json": ""}
program = torch.export.load(sys.argv[1], extra_files=about).module()
logits, _ = program(torch.from_numpy(numpy.load(sys.argv[2])))
print(json.dumps([json.loads(about["about.json"])["colour"], logits.tolist()]))
"""
    command = [sys.executable, "-c", script, str(FOLDER / TORCH), str(tmp_path / "images.npy")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    colour, logits = json.loads(run.stdout)
    assert colour == "grey"
    assert np.array(logits) == pytest.approx(network().answers(images)[0], abs=1e-4)


def test_the_folder_has_checksums_of_all_files_and_a_card_of_the_formats():
    sums = read_checksums(FOLDER)
    names = {path.name for path in FOLDER.iterdir()} - {"SHA256SUMS"}
    assert {name: sha256(FOLDER / name) for name in names} == sums
    assert {ONNX, INT8, TORCH, "classify.py"} <= names
    text = (FOLDER / "README.md").read_text()
    for each in RunFolder(FOLDER).exported.conversions:
        assert f"| `{each.file}`" in text
        assert each.bytes == (FOLDER / each.file).stat().st_size


def test_a_loss_of_more_than_a_point_is_said():
    folder = RunFolder(FOLDER)
    summary = folder.exported
    worse = summary.conversions[1].model_copy(update={"accuracy": summary.final.accuracy - 0.02})
    text = card(summary.model_copy(update={"conversions": [worse]}), folder.params)
    assert f"**`{INT8}` loses 2.00 points of accuracy**" in text
    same = worse.model_copy(update={"accuracy": summary.final.accuracy - 0.009})
    assert "loses" not in card(summary.model_copy(update={"conversions": [same]}), folder.params)


def test_a_file_in_float32_that_answers_otherwise_is_refused():
    """Here one in 8 bits, passed off as one in float32."""
    images = RunImages.of(RunFolder(Path("run")).params)
    converter = Converter(network(), images, FOLDER, {})
    with pytest.raises(RunError, match=r"model_int8\.onnx gives logits that differ by up to"):
        converter.compared(INT8, run_onnx, network().answers(unseen()[0])[:2])


def test_a_file_that_gives_no_number_is_refused():
    images = RunImages.of(RunFolder(Path("run")).params)
    converter = Converter(network(), images, FOLDER, {})
    logits, probabilities, _ = network().answers(unseen()[0])
    nothing = (np.full_like(logits, np.nan), probabilities)
    with pytest.raises(RunError, match=r"model\.onnx gives logits that differ"):
        converter.compared(ONNX, lambda path, pixels: nothing, (logits, probabilities))


@pytest.mark.slow
def test_a_model_that_was_exported_earlier_can_be_exported_again(tmp_path):
    shutil.copytree("exported", tmp_path / "earlier")
    before = RunFolder(tmp_path / "earlier").exported
    again = ["--run", str(tmp_path / "earlier"), "--output", str(tmp_path / "earlier")]
    assert cli.main(["export", *OPTIONS, *again, "--format", "onnx"]) == 0
    after = RunFolder(tmp_path / "earlier").exported
    assert [each.file for each in after.conversions] == [ONNX]
    assert after.model_copy(update={"conversions": []}) == before


def test_8_bits_are_for_onnx(capsys):
    assert cli.main(["export", *OPTIONS, "--precision", "int8"]) == 2
    assert capsys.readouterr().err == (
        "error: --precision int8 needs --format onnx: see `hdkd export --help`\n"
    )


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, capsys, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    command = ["export", *OPTIONS, "--run", "run", "--output", str(tmp_path / "no")]
    assert cli.main([*command, "--format", "onnx"]) == 2
    assert capsys.readouterr().err == f"error: this needs {missing}: pip install 'hdkd[onnx]'\n"
    assert not (tmp_path / "no").exists()


def without_torch(folder: Path) -> Path:
    """The Python of an environment with onnxruntime, numpy and Pillow, and what these need."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    waiting, found = ["onnxruntime", "numpy", "pillow"], set()
    while waiting:
        found.add(name := waiting.pop())
        needs = map(Requirement, metadata.requires(name) or [])
        waiting += [n.name for n in needs if not n.marker and n.name not in found]
        for part in {path.parts[0] for path in metadata.files(name)} - {".."}:
            if not (packages / part).exists():
                (packages / part).symlink_to(metadata.distribution(name).locate_file(part))
    assert "torch" not in found
    return folder / "bin" / "python"


def various(folder: Path) -> list[Path]:
    """Images as people have them: turned, transparent, of 16 bits, with a palette, wide."""
    pixels = np.random.default_rng(3).integers(0, 256, (50, 70, 4), dtype=np.uint8)
    colour, turned = Image.fromarray(pixels[..., :3]), Image.Exif()
    turned[0x0112] = 6
    paths = [folder / f"{name}.png" for name in ("rgba", "sixteen", "palette", "grey")]
    Image.fromarray(pixels).save(paths[0])
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(paths[1])
    colour.quantize(16).save(paths[2], transparency=3)
    Image.fromarray(pixels[..., 0]).save(paths[3])
    colour.save(folder / "turned.jpg", exif=turned)
    return [*paths, folder / "turned.jpg"]


def test_onnxruntime_alone_gives_the_predictions_of_hdkd_predict(tmp_path, capsys):
    python = without_torch(tmp_path / "environment")
    environment = {"PATH": os.environ["PATH"]}

    def run(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(python), *command], capture_output=True, text=True, env=environment
        )

    assert "No module named 'torch'" in run("-c", "import torch").stderr
    images = [str(path) for path in various(tmp_path)]
    images += map(str, sorted(Path("data/raw/phantom/files/test").rglob("*.png")))
    done = run(str(FOLDER / "classify.py"), str(FOLDER / ONNX), *images)
    assert done.returncode == 0, done.stderr
    assert cli.main(["predict", "--model", str(FOLDER), "--json", *images]) == 0
    expected = capsys.readouterr().out.splitlines()
    for own, other in zip(map(json.loads, done.stdout.splitlines()), expected, strict=True):
        wanted = json.loads(other)
        assert (own["image"], own["class"]) == (wanted["image"], wanted["class"])
        assert own["probabilities"] == pytest.approx(wanted["probabilities"], abs=2e-6)
