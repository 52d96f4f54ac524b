"""Parameters: what is merged, and how what is wrong is named."""

import ast
import dataclasses
import json
from typing import get_args

import jsonschema
import pytest
import yaml

from hdkd import cli, config
from hdkd.config.__main__ import SCHEMA, schema_text
from hdkd.config.parameters import json_schema
from hdkd.config.study import BaselineName
from hdkd.errors import ParameterError
from hdkd.study import code, names, plan
from project import ROOT


def refused(parameters: dict) -> str:
    with pytest.raises(ParameterError) as caught:
        config.resolve(parameters)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_profile_is_valid(parameters, profile):
    assert config.resolve(parameters | {"profile": profile}).profile == profile


def test_a_profile_adds_to_and_overrides_shared_values(parameters):
    paper = config.resolve(parameters | {"profile": "paper"})
    assert paper.training("student", "brain_tumor").epochs == 200
    assert paper.training("student", "brain_tumor").optimizer == "adamw"
    assert paper.distillation().batchnorm_updates == (4, 3, 2)


def test_the_paper_profile_has_the_papers_networks(parameters):
    network = config.resolve(parameters | {"profile": "paper"}).network()
    assert network.channels == (64, 96, 192)
    assert network.teacher_depths == (6, 6, 9)
    assert network.student_depths == (2, 2, 3)


def test_one_dataset_can_have_values_of_its_own(parameters):
    parameters["teacher"]["shared"]["by_dataset"] = {"phantom": {"epochs": 3}}
    settings = config.resolve(parameters)
    assert settings.training("teacher", "phantom").epochs == 3
    assert settings.training("teacher", "folder").epochs != 3


def test_one_size_can_have_seeds_of_its_own(parameters):
    parameters["sweep"]["demo"] |= {"seeds": [4], "seeds_by_subset": {80: [0, 1], "all": [7]}}
    settings = config.resolve(parameters)
    seeds = {(run.subset, run.seed) for run in plan.student_runs(settings, "phantom")}
    assert seeds >= {("80", 0), ("80", 1), ("200", 4), ("all", 7)}
    assert ("all", 4) not in seeds


def test_parameters_survive_being_saved(parameters, tmp_path):
    config.save(parameters, tmp_path / "saved.yaml")
    for profile in config.PROFILES:
        expected = config.resolve(parameters | {"profile": profile})
        assert config.load(tmp_path / "saved.yaml", profile) == expected


def test_saved_parameters_are_validated_when_they_are_loaded(parameters, tmp_path):
    parameters["student"]["demo"]["lr"] = -1
    config.save(parameters, tmp_path / "saved.yaml")
    with pytest.raises(ParameterError, match=r"student\.demo\.lr must be greater than 0"):
        config.load(tmp_path / "saved.yaml")


def test_a_profile_on_the_command_line_holds_whatever_hdkd_params_names(
    parameters, tmp_path, monkeypatch, capsys
):
    config.save(parameters, tmp_path / "saved.yaml")
    monkeypatch.setenv("HDKD_PARAMS", str(tmp_path / "saved.yaml"))
    assert cli.main(["profile", "--profile", "paper"]) == 0
    assert capsys.readouterr().out == "paper\n"


def test_training_in_a_piece_of_time_needs_its_length(capsys):
    assert cli.main(["borrow", "--profile", "demo"]) == 2
    assert capsys.readouterr().err.startswith("error: --minutes is missing")


def test_an_unknown_key_is_named_with_the_known_ones(parameters):
    parameters["student"]["demo"]["learning_rate"] = 0.1
    message = refused(parameters)
    assert message.startswith("unknown parameter student.demo.learning_rate: student.demo takes")


def test_an_unknown_section_is_named(parameters):
    assert "unknown parameter optimiser" in refused(parameters | {"optimiser": {}})


def test_a_number_that_yaml_reads_as_text_is_explained(parameters):
    parameters["student"]["demo"]["lr"] = yaml.safe_load("1e-3")
    assert refused(parameters) == (
        "student.demo.lr must be of type number, not '1e-3' "
        "(YAML reads 1e-3 as text: write 0.001 or 1.0e-3)"
    )


def test_a_negative_learning_rate_is_refused(parameters):
    parameters["teacher"]["shared"]["lr"] = -0.1
    assert refused(parameters) == "teacher.shared.lr must be greater than 0, not -0.1"


def test_an_unknown_profile_is_refused_with_the_known_ones(parameters):
    message = refused(parameters | {"profile": "full"})
    assert message == "profile must be one of demo, own, pilot, reduced, paper, not 'full'"


def test_an_unknown_dataset_is_refused_with_the_known_ones(parameters):
    message = refused(parameters | {"study": ["brian_tumor"]})
    assert "'brian_tumor'" in message
    assert "phantom, brain_tumor, ham10000, medmnist, folder" in message


def test_a_missing_key_is_named_with_where_to_give_it(parameters):
    del parameters["student"]["shared"]["optimizer"]
    message = refused(parameters)
    assert message.startswith("student lacks the parameter optimizer")


def test_an_image_size_that_patches_do_not_divide_is_refused(parameters):
    parameters["images"]["demo"]["size"] = 36
    assert refused(parameters).startswith("images.demo.size must be a multiple of 8")


def test_seeds_for_a_size_that_no_dataset_has_are_refused(parameters):
    parameters["sweep"]["demo"]["seeds_by_subset"] = {8: [0, 1]}
    message = refused(parameters)
    assert message == "sweep.seeds_by_subset names the size 8, which is in no dataset's subsets"


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([4, 8, 16], "network.demo.channels.0 must be a multiple of 8, not 4"),
        ([16, 20, 48], "network.demo.channels.1 must be a multiple of 8, not 20"),
    ],
)
def test_channels_that_would_reach_onednns_faulty_kernel_are_refused(parameters, channels, message):
    parameters["network"]["demo"]["channels"] = channels
    assert refused(parameters) == message


def test_ablations_take_a_subset_of_the_sweep(parameters):
    parameters["ablations"]["demo"] = {
        "variants": [{"block": "mbconv", "stem_stride": 2}],
        "subset": 160,
    }
    message = (
        "ablations.subset is 160, which datasets.phantom.subsets lacks: take one of 80, 200, all"
    )
    with pytest.raises(ParameterError, match=message):
        config.resolve(parameters)


def test_a_subset_larger_than_the_training_set_is_refused(parameters):
    parameters["datasets"]["phantom"]["subsets"] = [80, 5000]
    assert "datasets.phantom.subsets: 5000 images exceed" in refused(parameters)


def test_more_smote_neighbours_than_images_are_refused(parameters):
    parameters["datasets"]["phantom"]["classes"]["pituitary"]["train"] = 5
    parameters["datasets"]["phantom"]["subsets"] = ["all"]
    parameters["ablations"]["demo"]["controls"] = None
    parameters["tuning"]["demo"]["grid"] = []
    assert "datasets.phantom.smote.neighbours (5) must be less than the 5" in refused(parameters)


def test_a_minimum_rate_above_the_rate_is_refused(parameters):
    parameters["student"]["demo"]["min_lr"] = 1.0
    assert "student.min_lr (1.0) must not exceed student.lr" in refused(parameters)


def test_a_warm_up_from_above_the_rate_is_refused_where_there_is_one(parameters):
    parameters["student"]["demo"] |= {"lr": 1e-5, "min_lr": 1e-6, "warmup_epochs": 1}
    assert "student.warmup_lr (2e-05) must not exceed student.lr (1e-05)" in refused(parameters)
    parameters["student"]["demo"]["warmup_epochs"] = 0
    config.resolve(parameters)


def test_a_rate_of_one_dataset_below_the_minimum_is_refused(parameters):
    parameters["student"]["demo"]["by_dataset"] = {"folder": {"lr": 0.00001}}
    assert "student.min_lr (2e-05) must not exceed student.by_dataset.folder.lr (1e-05)" in refused(
        parameters
    )


def test_a_rate_to_try_below_the_minimum_is_refused(parameters):
    parameters["tuning"]["demo"]["grid"] = [{"lr": 0.001}, {"lr": 0.00001}]
    assert "student.min_lr (2e-05) must not exceed tuning.grid[1].lr (1e-05)" in refused(parameters)


def test_a_network_with_trials_of_its_own_must_be_tried(parameters):
    parameters["tuning"]["demo"]["extra"] = {"phantom": {"pvt_tiny": [{"lr": 0.001}]}}
    assert "tuning.extra.phantom names pvt_tiny, which baselines.models lacks" in (
        refused(parameters)
    )


def test_trials_on_a_dataset_that_is_not_tuned_are_refused(parameters):
    parameters["tuning"]["demo"]["extra"] = {"folder": {"hdkd": [{"lr": 0.001}]}}
    assert "tuning.extra.folder needs folder in tuning.datasets" in refused(parameters)


def test_a_trial_of_a_network_that_all_have_is_refused(parameters):
    tried = [{"lr": 0.001}]
    parameters["tuning"]["demo"] |= {"grid": tried, "extra": {"phantom": {"hdkd": tried}}}
    assert "tuning.extra.phantom.hdkd has {'lr': 0.001}, as tuning.grid has" in refused(parameters)


def test_a_warm_up_that_lasts_until_the_end_is_refused(parameters):
    parameters["student"]["demo"]["by_dataset"] = {"folder": {"epochs": 1}}
    assert "student.warmup_epochs (1) must be less than student.by_dataset.folder.epochs (1)" in (
        refused(parameters)
    )


def test_a_trial_is_checked_with_the_settings_of_its_dataset(parameters):
    parameters["student"]["demo"]["by_dataset"] = {"phantom": {"epochs": 3}}
    parameters["tuning"]["demo"] |= {"datasets": ["phantom"], "grid": [{"warmup_epochs": 3}]}
    assert (
        "tuning.grid[0].warmup_epochs (3) must be less than student.by_dataset.phantom.epochs (3)"
    ) in refused(parameters)


def test_a_split_that_does_not_fit_the_layout_is_refused(parameters):
    parameters["datasets"]["phantom"]["split"] = {
        "kind": "held_out",
        "test_fraction": 0.2,
        "seed": 0,
    }
    assert "datasets.phantom.split.kind must be published" in refused(parameters)


@pytest.mark.parametrize("place", ["/data/mine/train", "../train"])
def test_a_layout_names_places_below_the_images(parameters, place):
    layout = {"kind": "train_test_folders", "train": place, "test": "test"}
    parameters["datasets"]["phantom"]["layout"] = layout
    assert refused(parameters) == (
        f"datasets.phantom.layout.train must lie below the folder of the images, not at {place}"
    )


def test_the_best_epoch_on_validation_images_needs_some(parameters):
    parameters["student"]["demo"]["keep"] = "best_on_validation"
    assert config.resolve(parameters).training("hdkd", "phantom").keep == "best_on_validation"
    parameters["split"]["demo"] = {"validation_fraction": 0}
    assert "student.keep is best_on_validation, but split.validation_fraction 0" in refused(
        parameters
    )


def test_the_best_epoch_on_test_images_is_refused_beside_validation_images(parameters):
    parameters["teacher"]["demo"]["keep"] = "best_on_test"
    assert "keep best_on_validation, or set split.validation_fraction to 0" in refused(parameters)


def test_a_file_that_is_no_yaml_is_named_with_the_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("profile: demo\nteacher: [1\n")
    with pytest.raises(ParameterError, match=r"not valid YAML in line \d"):
        config.read(path)


def test_the_json_schema_for_editors_is_that_of_the_models():
    assert (ROOT / SCHEMA).read_text() == schema_text(), "python -m hdkd.config writes it again"


def test_the_parameter_file_names_its_schema():
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA}"


def test_the_json_schema_accepts_and_refuses_what_the_models_do(parameters):
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(config.plain(parameters))
    parameters["student"]["demo"]["learning_rate"] = 0.1
    assert not validator.is_valid(config.plain(parameters))


def test_every_baseline_has_a_name_for_readers():
    assert get_args(BaselineName) == tuple(names.BASELINES)


def test_numbers_stay_as_they_are_written(parameters):
    settings = config.resolve(parameters | {"profile": "paper"})
    assert json.dumps(config.plain(settings.parameters.augmentation.rotation)) == "180"
    assert json.dumps(config.plain(settings.parameters.split.validation_fraction)) == "0"


def test_keys_of_another_kind_of_source_are_refused(parameters):
    parameters["datasets"]["phantom"]["source"]["handle"] = "a/b"
    assert refused(parameters) == (
        "unknown parameter datasets.phantom.source.handle: datasets.phantom.source takes "
        "kind, seed, size"
    )


def test_an_unknown_kind_is_refused_with_the_known_ones(parameters):
    parameters["datasets"]["phantom"]["source"]["kind"] = "ftp"
    assert refused(parameters) == (
        "datasets.phantom.source.kind must be one of generated, kaggle, local, medmnist, not 'ftp'"
    )


def test_settings_cannot_be_changed(parameters):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.resolve(parameters).parameters.network.heads = 8


def test_the_code_of_every_step_exists():
    for step, parts in code.STEP_CODE.items():
        for name in parts:
            assert (ROOT / "hdkd" / name).exists(), name
        assert code.files(step)


@pytest.mark.parametrize("step", code.STEP_CODE)
def test_the_modules_that_a_step_imports_are_its_code(step):
    """What a step runs must be an input of its rule, or a change would go unnoticed."""
    # What changes no number: settings (those that decide numbers are parameters of the rules),
    # paths, files, errors, progress, tracking.
    wiring = {"config", "runs", "tracking", "errors", "files", "progress"}
    declared = set(code.files(step))
    if step in ("tables", "figures", "page"):  # their inputs follow from the code of runs
        declared |= set(code.files("train"))
    for name in sorted(name for name in declared if name.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / "hdkd" / name).read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("hdkd."):
                continue
            if node.module.split(".")[1] in wiring or node.module == "hdkd.study":
                continue
            if node.module in ("hdkd.study.plan", "hdkd.study.key", "hdkd.study.code"):
                continue
            module = node.module.removeprefix("hdkd.").replace(".", "/")
            files = {f"{module}.py", f"{module}/__init__.py"}
            for alias in node.names:
                files |= {f"{module}/{alias.name}.py", f"{module}/{alias.name}/__init__.py"}
            assert files & declared, f"{name}: {node.module}"
