"""The registry of figures: which a study has, and what each brings along."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib.style
import pandas as pd
import pytest

from hdkd import config
from hdkd.report import drawing, figures
from hdkd.study.names import BASELINES, Baseline
from project import ROOT

METHODS = {"methods", "methods_learning"}
ALWAYS = {"accuracy", "activation_maps", "confusion", "learning_curves", "samples"}


def names(settings: config.Settings, dataset: str) -> set[str]:
    return {spec.name for spec in figures.of_study(settings, dataset)}


@pytest.mark.parametrize("spec", figures.registered(), ids=lambda spec: spec.name)
class TestEveryFigure:
    def test_has_a_caption(self, spec):
        assert spec.caption.read_text("utf-8").strip()

    def test_is_in_a_section_that_the_page_shows(self, spec):
        page = (ROOT / "hdkd/report/page.html").read_text("utf-8")
        assert f'{{{{ figures(dataset, "{spec.section}") }}}}' in page


def test_a_module_with_a_caption_is_all_that_a_figure_takes():
    folder = ROOT / "hdkd/report/figures"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == {path.stem for path in folder.glob("*.rst")}
    assert modules == {spec.name for spec in figures.registered()}


def test_the_demo_has_what_every_study_has_and_smote_methods_and_calibration(parameters):
    extra = {"smote", "calibration"} | METHODS
    assert names(config.resolve(parameters), "phantom") == ALWAYS | extra


def test_a_study_without_smote_has_no_figure_of_it(parameters):
    parameters["datasets"]["phantom"]["smote"]["enabled"] = False
    assert names(config.resolve(parameters), "phantom") == ALWAYS | METHODS | {"calibration"}


def test_ablations_distillation_baselines_and_methods_are_shown_where_they_are_trained(parameters):
    parameters["methods"]["pilot"]["subsets"] = {"brain_tumor": [200]}
    settings = config.resolve(parameters | {"profile": "pilot"})
    extra = {"ablations", "distillation", "baselines", "calibration"}
    assert names(settings, "brain_tumor") == ALWAYS | extra | METHODS
    assert names(settings, "ham10000") == ALWAYS | extra - {"distillation"} | {"smote"}


def test_a_network_that_the_paper_lacks_is_shown_as_measured_only(parameters, monkeypatch):
    added = Baseline("ResNet-18", "ConvNet", "torchvision", "resnet18")
    monkeypatch.setitem(BASELINES, "resnet18", added)
    cells = {"role": ["mobilenet_v2", "resnet18"], "accuracy": [0.9, 0.8]}
    data = SimpleNamespace(
        settings=config.resolve(parameters),
        dataset="brain_tumor",
        facts={"size": 32},
        title="Brain Tumor MRI",
        baselines=pd.DataFrame(cells | {"parameters": [2e6, 11e6], "macs": [3e8, 2e9]}),
    )
    shown = figure("baselines", data)
    titles = [shown.count(f"<!-- {name} -->") for name in ("MobileNetV2", "ResNet-18")]
    assert titles == [2, 1]


def figure(name: str, data: SimpleNamespace) -> str:
    (spec,) = (each for each in figures.registered() if each.name == name)
    return drawing.drawn(lambda figure: spec.draw(data, figure), "light").decode()


def test_how_methods_learn_is_not_shown_of_the_student_alone(parameters):
    (spec,) = (each for each in figures.registered() if each.name == "methods_learning")
    runs = {"group": ["methods"] * 2, "method": ["alone", "dkd"], "point": [""] * 2}
    alone, both = (
        SimpleNamespace(table=pd.DataFrame(runs).head(count), settings=config.resolve(parameters))
        for count in (1, 2)
    )
    assert not spec.needs(alone)
    assert spec.needs(both)


def test_a_method_that_ran_on_another_device_is_named_below_those_with_a_time():
    row = {"role": "hybrid", "training_images": 80, "weights": "published", "gain": 1.0}
    row |= {"gain_low": 0.0, "gain_high": 2.0}
    table = [row | {"method": "hdkd", "ratio": 1.5}, row | {"method": "dkd", "ratio": None}]
    data = SimpleNamespace(title="Phantom", methods=pd.DataFrame(table).astype({"ratio": float}))
    shown = figure("methods", data)
    assert "<!-- no time, ran on another device: DKD -->" in shown


def test_asking_for_figures_imports_nothing_heavy():
    """The Snakefile asks at every start."""
    code = (
        "import sys; from hdkd.report import figures; figures.registered();"
        "print({'matplotlib', 'numpy', 'pandas', 'torch'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stderr


@pytest.mark.parametrize("theme", drawing.SUFFIXES)
def test_a_theme_has_a_colour_for_each_role_and_family(theme):
    with matplotlib.style.context(drawing.STYLES / f"{theme}.mplstyle"):
        cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    assert list(figures.COLOURS.values()) == [f"C{k}" for k in range(len(cycle))]
