"""What pydantic finds wrong with parameters, in one sentence that names the key."""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

FILE = "params.yaml"
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
# What is wrong with a value, by pydantic's name of the error and with its context.
MESSAGES = {
    "int_type": "must be of type integer, not {value!r}",
    "float_type": "must be of type number, not {value!r}",
    "bool_type": "must be of type boolean, not {value!r}",
    "string_type": "must be of type string, not {value!r}",
    "tuple_type": "must be of type array, not {value!r}",
    "dict_type": "must be of type object, not {value!r}",
    "dataclass_type": "must be of type object, not {value!r}",
    "literal_error": "must be one of {expected}, not {value!r}",
    "union_tag_not_found": "lacks the parameter {discriminator}",
    "union_tag_invalid": "must be one of {expected_tags}, not {value!r}",
    "twice": "names an entry twice: {value}",
    "greater_than": "must be greater than {gt:g}, not {value}",
    "greater_than_equal": "must be at least {ge:g}, not {value}",
    "less_than": "must be less than {lt:g}, not {value}",
    "less_than_equal": "must be at most {le:g}, not {value}",
    "multiple_of": "must be a multiple of {multiple_of:g}, not {value}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}, not {value!r}",
}
MESSAGES["model_attributes_type"] = MESSAGES["dict_type"]
YAML_NUMBERS = " (YAML reads 1e-3 as text: write 0.001 or 1.0e-3)"


def sentence(error: ValidationError, parameters: dict[str, Any], schema: dict[str, Any]) -> str:
    """What is wrong with ``parameters``: unknown keys before all else, missing ones last.

    ``schema`` is the JSON schema of the parameters, which knows the keys that there are.
    """
    found = error.errors(include_url=False)
    order = dict.fromkeys(UNKNOWN, 0) | {"missing": 2}
    first = min(found, key=lambda each: order.get(each["type"], 1))
    kind, place = first["type"], first["loc"][:-1]
    alike = [each for each in found if (each["type"], each["loc"][:-1]) == (kind, place)]
    names = sorted(_shown(each["loc"][-1]) for each in alike if each["loc"])
    key = _key(parameters, place)
    if kind == "missing":
        return f"{key or FILE} lacks the parameter {', '.join(names)}"
    if kind in UNKNOWN:
        unknown = ", ".join(f"{key}.{name}" if key else name for name in names)
        known = ", ".join(_keys(schema, place))
        return f"unknown parameter {unknown}: {key or FILE} takes {known}"
    key = _key(parameters, first["loc"]) or FILE
    if kind == "union_tag_invalid":
        key += f".{_listed(first['ctx']['discriminator'])}"
    return f"{key} {_about(first)}"


def _about(error: ErrorDetails) -> str:
    """What is wrong with a value."""
    kind, value, context = error["type"], error["input"], dict(error.get("ctx", {}))
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, not {value}"
    for name in {"expected", "expected_tags", "discriminator"} & set(context):
        context[name] = _listed(context[name])
    if kind == "union_tag_invalid":
        value = value[context["discriminator"]]
    if kind in MESSAGES:
        hint = YAML_NUMBERS if isinstance(value, str) and kind in ("int_type", "float_type") else ""
        return MESSAGES[kind].format(value=value, **context) + hint
    return f"{context.get('error', error['msg'])}, not {value!r}"


def _listed(words: str) -> str:
    """``'a', 'b' or None``, as pydantic lists values, as ``a, b, null``."""
    return words.replace(" or ", ", ").replace("'", "").replace("None", "null")


def _shown(name: int | str) -> str:
    return name if isinstance(name, str) and name.isprintable() else repr(name)


def _key(parameters: Any, location: Sequence[int | str]) -> str:
    """``datasets.phantom.source.seed``: the location without the tags of unions in it."""
    value, parts = parameters, []
    for part in location:
        inside = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(inside, dict) and part in inside:
            value = inside[part]
            parts.append(_shown(part))
    return ".".join(parts)


def _keys(schema: dict[str, Any], location: Sequence[int | str]) -> list[str]:
    """The keys that there are at a location, in which ``kind`` stands for one of several models."""
    node = _followed(schema, schema)
    for part in location:
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        elif isinstance(part, int):
            node = node["items"]
        else:
            node = node.get("additionalProperties") or next(
                iter(node["patternProperties"].values())
            )
        node = _followed(node, schema)
    return list(node["properties"])


def _followed(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """``node`` behind its reference, and without the null that it may be."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            node = node["anyOf"][0]
        else:
            return node
