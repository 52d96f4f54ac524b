"""What is committed, apart from whatever run folders this checkout may have besides."""

import contextlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hdkd import config
from hdkd.paper import ledger
from hdkd.study import plan
from project import ROOT


@pytest.fixture(scope="session")
def committed(tmp_path_factory) -> Path:
    """A folder with the committed reports and nothing else."""
    folder = tmp_path_factory.mktemp("committed")
    for profile in (*plan.LEDGER_PROFILES, "controls"):
        if (ROOT / "reports" / profile).exists():
            shutil.copytree(
                ROOT / "reports" / profile,
                folder / "reports" / profile,
                ignore=shutil.ignore_patterns("figures", "report.html"),
            )
    return folder


@pytest.fixture(scope="session")
def derived(committed) -> pd.DataFrame:
    """The ledger as the committed summaries, the published values and the code give it."""
    with contextlib.chdir(committed):
        rows, _ = ledger.ledger(config.read(ROOT / "params.yaml"))
    return ledger.texts(rows)
