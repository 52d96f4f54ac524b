"""The commands that pages show, and whether the programs named there would accept them.

A command is a line of a block that has no language or that of a shell, or code in a sentence that
begins with one of ``PROGRAMS`` and has more than two words. Shorter code, as ``dvc push``, is a
name: what it names has to be there.
"""

import contextlib
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import click
import yaml
from packaging.requirements import Requirement

from hdkd.deploy.formats import CONVERTED
from project import ROOT, Project

# Their commands run in test_tutorial.py and test_python_guide.py.
ELSEWHERE = {"docs/tutorial.md", "docs/python.md"}
OTHER_LANGUAGES = {"json", "mermaid", "python", "text", "yaml"}
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.M | re.S)
ASSIGNMENT = re.compile(r"\w+=")


def pages() -> list[Path]:
    """The README, and every page of the navigation that is written by hand or by a study."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    names = ["README.md", *re.findall(r": (\S+\.md)$", navigation, re.M)]
    places = [path for name in names for path in (ROOT / "docs" / name, ROOT / name)]
    return [
        path
        for path in places
        if path.exists() and path.relative_to(ROOT).as_posix() not in ELSEWHERE
    ]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in that language."""
    return [block[3] for block in BLOCK.finditer(page) if block[2] == language]


def typed_lines(page: str) -> list[str]:
    """The lines of the blocks that are for a shell, joined where they continue, without comments.

    Every block is, unless it is marked as something else: no command is missed for want of a mark.
    """
    shell = [block[3] for block in BLOCK.finditer(page) if block[2] not in OTHER_LANGUAGES]
    lines = "".join(shell).replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(^|\s)#\s.*", "", line) for line in lines)
    return [" ".join(line.split()) for line in bare if line.strip()]


def spans(page: str) -> list[str]:
    """Code in sentences and tables that begins with a program and says what it is to do."""
    text = BLOCK.sub("", page)
    found = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [span for span in found if len(span.split()) > 1 and program(span) in PROGRAMS]


def shown() -> set[str]:
    """Every command of every page."""
    texts = [path.read_text("utf-8") for path in pages()]
    in_sentences = (span for text in texts for span in spans(text) if len(span.split()) > 2)
    return {line for text in texts for line in typed_lines(text)} | set(in_sentences)


def named() -> set[str]:
    """Every program with one word behind it, in the sentences of all pages."""
    texts = [path.read_text("utf-8") for path in pages()]
    return {span for text in texts for span in spans(text) if len(span.split()) == 2}


def program(command: str) -> str:
    """The first word that assigns nothing."""
    return next((word for word in command.split() if not ASSIGNMENT.match(word)), "")


def check(command: str, project: Project) -> None:
    """Fail unless each program of ``command`` would accept its arguments.

    ``project`` is a small one, in which Snakemake can plan. An ellipsis stands for anything.
    """
    for part in re.split(r" (?:&&|\|) ", command):
        name = program(part)
        assert name in PROGRAMS, f"PROGRAMS has no way to check {name}"
        words = shlex.split(part.replace(" …", ""), comments=True)
        arguments = words[words.index(name) + 1 :]
        PROGRAMS[name](arguments, part.replace(" …", ""), project)


def parsed_by(command: click.Command, words: list[str]) -> None:
    """Fail unless the parser of a command, or of one of a group, accepts ``words``."""
    while isinstance(command, click.Group) and words:
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found, f"{command.name} has no command {name}"
        command = found
    with contextlib.suppress(click.MissingParameter):  # a sentence may leave out the rest
        command.make_context(command.name, [*words])


def _hdkd(words: list[str], text: str, project: Project) -> None:
    from hdkd.cli.group import hdkd

    parsed_by(hdkd, words)


def _mlflow(words: list[str], text: str, project: Project) -> None:
    from mlflow.cli import cli

    parsed_by(cli, words)


def _dvc(words: list[str], text: str, project: Project) -> None:
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words)


def _snakemake(words: list[str], text: str, project: Project) -> None:
    project.run("bash", "-c", f"{text} --dry-run --quiet")


def _make(words: list[str], text: str, project: Project) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        assert not ASSIGNMENT.match(word) or f"$({word.partition('=')[0]})" in makefile, word
    succeeds("make", "--dry-run", *words)


def _git(words: list[str], text: str, project: Project) -> None:
    usage = subprocess.run(["git", words[0], "-h"], capture_output=True, text=True)
    assert f"usage: git {words[0]}" in usage.stdout + usage.stderr


def _pip(words: list[str], text: str, project: Project) -> None:
    from pip._internal.commands import create_command

    command, *arguments = words
    _, packages = create_command(command).parse_args(arguments)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = extras["optional-dependencies"]
    ours = map(Requirement, sum(optional.values(), extras["dependencies"]))
    known = {requirement.name for requirement in ours} | {"hdkd"}
    for package in packages:
        wanted = Requirement(re.sub(r"^\.", "hdkd", package))
        assert wanted.name in known, package
        assert wanted.name != "hdkd" or wanted.extras <= set(optional), package


def _curl(words: list[str], text: str, project: Project) -> None:
    """The interface of a served model takes a file at that address."""
    option, file, address = words
    assert (option, file[0]) == ("--data-binary", "@")
    interface = (ROOT / "hdkd/deploy/web/app.py").read_text()
    assert f'@app.post(\n        "{urlsplit(address).path}",\n' in interface


def _python(words: list[str], text: str, project: Project) -> None:
    if words[0] == "classify.py":  # which an export writes
        assert (ROOT / "hdkd/deploy" / words[0]).exists()
        assert words[1] in CONVERTED
        return
    dash_m, module, *arguments = words
    assert dash_m == "-m"
    {"pytest": _pytest, "benchmarks": _benchmarks}[module](arguments, text, project)


def _pytest(words: list[str], text: str, project: Project) -> None:
    succeeds(sys.executable, "-m", "pytest", *words, "--collect-only", "-qq")


def _benchmarks(words: list[str], text: str, project: Project) -> None:
    from benchmarks.__main__ import options_of

    options_of(words)


def _torchrun(words: list[str], text: str, project: Project) -> None:
    from torch.distributed.run import get_args_parser

    options = get_args_parser().parse_args(words)
    check(shlex.join([options.training_script, *options.training_script_args]), project)


def _docker(words: list[str], text: str, project: Project) -> None:
    """The image is the one that the profile names; file, target and argument are there."""
    profile = yaml.safe_load((ROOT / "profiles/kubernetes/config.yaml").read_text())
    assert profile["container-image"] in words
    if words[0] == "build":
        options = dict(pairwise(words))
        recipe = (ROOT / options["--file"]).read_text()
        assert re.search(rf"^FROM \S+ AS {options['--target']}$", recipe, re.M)
        assert f"\nARG {options['--build-arg'].partition('=')[0]}\n" in recipe


def _kubectl(words: list[str], text: str, project: Project) -> None:
    assert words[:2] == ["apply", "--filename"]
    manifest = yaml.safe_load((ROOT / words[2]).read_text())
    claim = f"{manifest['metadata']['name']}:/checkpoints"
    assert claim in (ROOT / "profiles/kubernetes/config.yaml").read_text()


def _export(words: list[str], text: str, project: Project) -> None:
    """Each variable is one that the code, or a test with the real servers, reads or sets."""
    sources = [*(ROOT / "hdkd").rglob("*.py"), *(ROOT / "tests/stores").glob("*.py")]
    code = "".join(path.read_text("utf-8") for path in sources)
    for word in words:
        assert re.search(rf"\b{word.partition('=')[0]}\b", code), word


def _source(words: list[str], text: str, project: Project) -> None:
    """The environment is where `make setup` makes it."""
    [path] = map(Path, words)
    assert f"\nVENV := {path.parts[0]}\n" in (ROOT / "Makefile").read_text()
    assert (Path(sys.prefix) / path.relative_to(path.parts[0])).exists()


def _pre_commit(words: list[str], text: str, project: Project) -> None:
    assert (ROOT / ".pre-commit-config.yaml").exists()


def _mps(words: list[str], text: str, project: Project) -> None:
    assert text in (ROOT / "hdkd/remote/offline.sh").read_text()


def _nothing(words: list[str], text: str, project: Project) -> None:
    """A shell's own."""


def succeeds(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


# How the arguments of each program are checked.
PROGRAMS = {
    "curl": _curl,
    "bash": _nothing,
    "docker": _docker,
    "dvc": _dvc,
    "echo": _nothing,
    "export": _export,
    "git": _git,
    "hdkd": _hdkd,
    "kubectl": _kubectl,
    "make": _make,
    "mlflow": _mlflow,
    "nvidia-cuda-mps-control": _mps,
    "pip": _pip,
    "pre-commit": _pre_commit,
    "pytest": _pytest,
    "python": _python,
    "snakemake": _snakemake,
    "source": _source,
    "torchrun": _torchrun,
}
