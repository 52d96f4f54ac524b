"""Tables of Markdown pages."""

from collections.abc import Iterator


def tables_in(text: str) -> Iterator[list[list[str]]]:
    """The Markdown tables of a text: rows of cells, the titles first."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not all(set(cell) <= {"-", ":"} for cell in cells):
                rows.append(cells)
        elif rows:
            yield rows
            rows = []
