"""Docstrings name code as Sphinx does, ``:class:`Output```; on the site it is plain code."""

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod):`~?([\w.]+)`")


class Roles(Extension):
    """Takes the roles out of every docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for each module, class, function and attribute once all are known."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
