"""A small study of which models are exported."""

from pathlib import Path

import yaml

from hdkd import cli
from project import parameters, tiny

PREPARED = Path("data/prepared/demo/phantom")
OPTIONS = ["--params", "params.yaml", "--dataset", "phantom"]


def trained(folder: Path, validation_fraction: float) -> None:
    """A student of a few epochs in the run folder ``run``, from the images on."""
    chosen = tiny(parameters())
    chosen["split"]["demo"] = {"validation_fraction": validation_fraction}
    chosen["student"]["demo"]["epochs_on_all"] = 30
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))
    for command in ("acquire", "prepare", "split"):
        assert cli.main([command, *OPTIONS]) == 0
    train = ["train", *OPTIONS, "--no-tracking", "--threads", "1", "--role", "student"]
    assert cli.main([*train, "--output", "run"]) == 0
