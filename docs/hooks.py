"""What the site has besides the files of this folder: pages of the project, and generated ones.

MkDocs calls these functions while it builds.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from hdkd.cli.group import hdkd
from hdkd.config.reference import reference

ROOT = Path(__file__).resolve().parents[1]
LOG = logging.getLogger("mkdocs.hooks")
# Pages and pictures that lie elsewhere in the project.
ELSEWHERE = (
    "CONTRIBUTING.md", "data/README.md", "pretrained/*/README.md", "reports/*.md",
    "reports/*/README.md", "reports/*/*.svg",
)  # fmt: skip
COMMAND_LINE = """# Command line

Snakemake calls the steps of a study in their order; each can be typed by hand. Settings come from
`params.yaml`, or from the file that `--params` or the variable `HDKD_PARAMS` names. A fault that a
user can mend is one sentence and exit code 2; exit code 75 means that a run was stopped and can go
on.
"""
TEXT = r"\[([^\]]*(?:\[[^\]]*\][^\]]*)*)\]"
LINK = re.compile(TEXT + r"\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere, under their own paths, and the generated reference."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    pages = {
        "parameters": reference((ROOT / "params.yaml").read_text("utf-8")),
        "command-line": command_line(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def command_line() -> str:
    """What ``hdkd COMMAND --help`` prints, for every command."""
    parts = [COMMAND_LINE]
    context = click.Context(hdkd, info_name="hdkd")
    for name in hdkd.list_commands(context):
        command = hdkd.get_command(context, name)
        assert command is not None
        shown = click.Context(command, context, info_name=name, max_content_width=100)
        parts.append(f"## {name}\n\n```\n{command.get_help(shown)}\n```\n")
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Lead links to pages of the site; what a link to any other file says stays as text.

    In the project a page lies where its links start; on the site the folder ``docs`` is the top.
    """
    source = page.file.src_uri
    outside = any(Path(source).match(pattern) for pattern in ELSEWHERE)
    folder = posixpath.dirname(source if outside else f"docs/{source}")

    def lead(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        inside = posixpath.normpath(posixpath.join(folder, target))
        name = inside.removeprefix("docs/")
        if inside == "README.md":
            name = "index.md"
        if files.get_file_from_path(name) is None:
            if not (ROOT / inside).exists():
                LOG.warning("%s links to %s, which is not there", source, target)
            return text
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(source) or '.')}{anchor})"

    return LINK.sub(lead, markdown)
