"""The reference of all parameters, from their types and from the comments of ``params.yaml``."""

import inspect
import re
from typing import Any

import yaml

from hdkd.config.parameters import PROFILES, SECTIONS, Parameters, json_schema

HEAD = """# Parameters

Everything that can be changed stands in `params.yaml`, once. A section has values that all profiles
share, and what a profile changes. `snakemake … --config profile=pilot` takes another profile,
`--configfile changes.yaml` changes single values, and `dvc exp run -S student.demo.lr=0.002` does
so for DVC. A mistake stops the workflow before its first job, with one sentence that names the key.
This page is made from the types that check them and from the file.
"""
COMMENT = re.compile(r"^\s+(?:\{)?(\w+):.*?\s#\s(.*)$")


def reference(text: str) -> str:
    """Markdown: a table for each section of the parameter file with this ``text``."""
    schema, values, comments = json_schema(), yaml.safe_load(text), comments_of(text)
    parts = [HEAD]
    for name in Parameters.__dataclass_fields__:
        if name in SECTIONS:
            parts.append(section(name, schema, values[name], comments.get(name, {})))
        elif name == "datasets":
            parts.append(datasets(text))
        else:
            kind = kind_of(schema["properties"][name], schema)
            parts.append(f"## {name}\n\n{kind}; here `{shown(values[name])}`.\n")
    return "\n".join(parts)


def section(
    name: str, schema: dict[str, Any], values: dict[str, Any], comments: dict[str, str]
) -> str:
    """A section's table: parameter, what it may be, its value in each profile that has one."""
    about = (inspect.getdoc(SECTIONS[name]) or "").replace("``", "`")
    layers = ["shared", *(profile for profile in PROFILES if profile in values)]
    rows = [["parameter", "may be", *layers, ""], ["---"] * (3 + len(layers))]
    changes = resolved(resolved(schema["properties"][name], schema)["properties"]["shared"], schema)
    for key, kind in changes["properties"].items():
        cells = [f"`{shown(values[p][key])}`" if key in values[p] else "" for p in layers]
        rows.append([f"`{key}`", kind_of(kind, schema), *cells, comments.get(key, "")])
    table = "\n".join("| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows)
    return f"## {name}\n\n{about}\n\n{table}\n"


def datasets(text: str) -> str:
    """The section of the datasets as the file has it: its comments say what may stand there."""
    start, end = text.index("# `licence`: of the images"), text.index("\nsplit:")
    return f"## datasets\n\n```yaml\n{text[start:end].rstrip()}\n```\n"


def comments_of(text: str) -> dict[str, dict[str, str]]:
    """What is said behind a parameter, by section and key."""
    found: dict[str, dict[str, str]] = {}
    current = ""
    for line in text.splitlines():
        if head := re.match(r"(\w+):", line):
            current = head[1]
        elif note := COMMENT.match(line):
            found.setdefault(current, {}).setdefault(note[1], note[2])
    return found


def resolved(kind: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the schema stands for."""
    while "$ref" in kind:
        kind = schema["$defs"][kind["$ref"].rpartition("/")[2]]
    return kind


def kind_of(kind: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    kind = resolved(kind, schema)
    if "anyOf" in kind or "oneOf" in kind:
        return ", or ".join(kind_of(each, schema) for each in kind.get("anyOf") or kind["oneOf"])
    if "enum" in kind:
        return " or ".join(f"`{shown(value)}`" for value in kind["enum"])
    if "const" in kind:
        return f"`{shown(kind['const'])}`"
    if kind.get("type") == "array":
        return list_of(kind, schema)
    names = {"integer": "whole number", "boolean": "`true` or `false`", "object": "mapping"}
    name = names.get(kind.get("type", ""), kind.get("type", "anything"))
    name = "`null`" if name == "null" else name.replace("string", "text")
    return name + limits(kind)


def list_of(kind: dict[str, Any], schema: dict[str, Any]) -> str:
    """A list, how long, and of what."""
    if "prefixItems" in kind:
        first = kind_of(kind["prefixItems"][0], schema)
        return f"list of {len(kind['prefixItems'])}: {first} each"
    of = kind_of(kind["items"], schema) if kind.get("items") else "anything"
    fewest, most = kind.get("minItems"), kind.get("maxItems")
    count = f" of {fewest}" if fewest and fewest == most else ""
    return f"list{count}: {of} each"


def limits(kind: dict[str, Any]) -> str:
    """The range of a number, in words."""
    parts = {
        "minimum": "at least {}", "exclusiveMinimum": "above {}", "maximum": "at most {}",
        "exclusiveMaximum": "below {}", "multipleOf": "a multiple of {}",
    }  # fmt: skip
    said = [text.format(f"{kind[name]:.15g}") for name, text in parts.items() if name in kind]
    return ", " + ", ".join(said) if said else ""


def shown(value: Any) -> str:
    """A value as YAML has it in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n...\n").strip()


def escaped(cell: str) -> str:
    """Text that neither ends its cell of a table, nor is read as attributes of it."""
    text = cell.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("{", "&#123;")
