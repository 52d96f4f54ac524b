"""Templates (jinja2) for everything that people read: HTML pages, Markdown tables, model cards."""

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd


def render(template: Path, **content: Any) -> str:
    """Fill a template with ``content``; of HTML, values are escaped.

    Filters besides jinja's own: ``table`` (rows as a Markdown table), ``percent`` (``84.31 %`` of a
    share in [0, 1]) and ``thousands`` (``5,712``). A name that ``content`` lacks raises
    ``UndefinedError``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=template.suffix == ".html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["table"] = markdown_table
    environment.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment.get_template(template.name).render(**content).strip() + "\n"


def markdown_table(rows: list[dict[str, str]]) -> str:
    """Rows of texts with the same names as a table; a text stays as it is, number or not."""
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
