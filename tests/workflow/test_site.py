"""The documentation as a site: built without a warning, every link leading somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from hdkd.cli.group import MODULES
from project import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def test_links_lead_to_pages_of_the_site(site):
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links begin at the top of wherever the site is put
            continue
        links = re.findall(r'href="(?!https?:|mailto:|data:|#)([^"#?]+)', page.read_text("utf-8"))
        for link in links:
            target = page.parent / unquote(link)
            assert target.exists(), f"{page.relative_to(site)}: {link}"


def test_pages_of_the_project_that_lie_elsewhere_are_on_it(site):
    for name in ("CONTRIBUTING", "data", "reports/ledger", "reports/pilot", "pretrained/ham10000"):
        assert (site / name / "index.html").exists(), name


def test_the_command_line_has_every_command(site):
    page = (site / "reference/command-line/index.html").read_text("utf-8")
    for command in MODULES:
        assert f"Usage: hdkd {command} " in page


def test_docstrings_show_no_markup_of_another_tool(site):
    page = (site / "reference/python/index.html").read_text("utf-8")
    assert "hdkd.models.build" in page
    assert not re.search(r":(class|func|meth|mod):", page)
