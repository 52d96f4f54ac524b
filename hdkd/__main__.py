"""``python -m hdkd``: the command line where the package is on the path but not installed."""

from hdkd.cli import console

console()
