"""The guide to the Python interface does what it shows."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdkd.api import needs
from hdkd.api.settings import Changes
from hdkd.config import methods
from hdkd.data.acquire.phantom import CLASSES, draw
from project import ROOT

GUIDE = (ROOT / "docs/python.md").read_text("utf-8")


def row(name: str) -> str:
    """What a method reads, as the guide's table shows it."""
    cells = [f"`{name}`"]
    networks = methods()[name].networks
    wanted = {kind: needs(name, kind) for kind in networks}
    for kind in ("hybrid", "vit"):
        cells.append(shown(wanted[kind].student) if kind in networks else "cannot be taught")
    teachers = {kind: shown(each.teacher) for kind, each in wanted.items()}
    cells.append(" or ".join(dict.fromkeys(teachers.values())))
    return f"| {' | '.join(cells)} |"


def shown(parts: frozenset[str]) -> str:
    return ", ".join(f"`{part}`" for part in sorted(parts)) or "–"


def test_its_table_says_what_every_method_reads():
    table = [row(name) for name in methods()]
    assert re.findall(r"^\| `\w+` \|.*(?:–|`|taught) \|$", GUIDE, re.M) == table, "\n".join(table)


def test_it_has_every_setting():
    assert [name for name in Changes.__annotations__ if f"`{name}`" not in GUIDE] == []


@pytest.mark.slow
def test_its_code_runs_as_it_stands_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
    assert len(blocks) == 6
    defined = {}
    for block in blocks[:2]:
        exec(block, defined)
    history = defined["result"].history
    assert len([line for line in blocks[1].splitlines() if line]) <= 10
    assert float(capsys.readouterr().out) == history[-1]["validation_accuracy"]
    assert history[-1]["validation_accuracy"] > 0.5, "a quarter is chance"
    for block in blocks[2:4]:
        exec(block, defined)
        assert defined["result"].history[-1]["validation_accuracy"] > 0.4
    exec(blocks[4], defined)
    assert len([line for line in blocks[4].splitlines() if line]) <= 10
    assert capsys.readouterr().out.split()[0] in defined["classifier"].classes
    draw_images(tmp_path / "my_images/train")
    exec(in_one_epoch(blocks[5]), defined)
    assert not defined["learner"].training


def test_the_readmes_five_lines_distil_from_a_teacher_that_comes_along():
    text = (ROOT / "README.md").read_text("utf-8")
    [block] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len([line for line in block.splitlines() if line]) == 5
    batch = torch.randn(2, 3, 96, 96), torch.tensor([0, 3])
    defined = {"training": [batch], "validation": [batch]}
    exec(in_one_epoch(block), defined)
    assert not defined["student"].training


def in_one_epoch(block: str) -> str:
    assert block.count("epochs=200") == 1
    return block.replace("epochs=200", "epochs=1")


def draw_images(folder: Path) -> None:
    """Two drawings of each class, as image files."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(draw(name, 96, generator)).save(folder / name / f"{k}.png")
