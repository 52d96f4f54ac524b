"""The parameter file: read, its profiles merged, validated; and written again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hdkd.config.checks import check
from hdkd.config.parameters import SECTIONS, Parameters, json_schema, parameter_file
from hdkd.config.sentences import sentence
from hdkd.config.settings import Settings
from hdkd.errors import ParameterError
from hdkd.files import write_atomic

# Of an installed package; in a checkout it lies at the top.
PACKAGED_PARAMS = Path(__file__).parents[1] / "params.yaml"


def read(path: Path) -> dict[str, Any]:
    """The content of a parameter file. Raises ``ParameterError`` when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot read the parameters {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{path} is not text in UTF-8") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{path} is not valid YAML{where}") from None
    except (ValueError, RecursionError) as error:  # 2024-13-99 is no day, [[[[… is too deep
        raise ParameterError(f"{path} is not usable YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path} must hold a mapping with the key profile at its top")
    return content


def plain(values: Any) -> Any:
    """``values`` in plain dictionaries and lists, which compare, hash and save like the file's.

    Snakemake hands over ordered dictionaries, and sections of the parameters are models.
    """

    def simple(value: Any) -> Any:
        return vars(value) if dataclasses.is_dataclass(value) else str(value)

    return json.loads(json.dumps(values, default=simple))


def resolve(parameters: dict[str, Any]) -> Settings:
    """Validate, and merge each section's ``shared`` values with those of the chosen profile."""
    parameters = plain(parameters)
    try:
        parameter_file().validate_python(parameters)
    except ValidationError as error:
        raise ParameterError(sentence(error, parameters, json_schema())) from None
    profile = parameters["profile"]
    merged = {
        name: value["shared"] | value.get(profile, {}) if name in SECTIONS else value
        for name, value in parameters.items()
    }
    settings = Settings(_complete(merged))
    check(settings)
    return settings


def _complete(merged: dict[str, Any]) -> Parameters:
    """The parameters of one profile, of which every value is valid but some may be missing."""
    try:
        return Parameters(**merged)
    except ValidationError as error:
        section, name = error.errors()[0]["loc"]
        raise ParameterError(
            f"{section} lacks the parameter {name}: give it under {section}.shared "
            f"or {section}.{merged['profile']}"
        ) from None


def default_params() -> Path:
    """The parameter file of this folder, or the one that comes with an installed package."""
    path = Path("params.yaml")
    return PACKAGED_PARAMS if PACKAGED_PARAMS.exists() and not path.exists() else path


def load(path: Path, profile: str | None = None) -> Settings:
    """The settings in the parameter file ``path``, of ``profile`` instead of the file's own."""
    parameters = read(path)
    return resolve(parameters | {"profile": profile} if profile else parameters)


def save(parameters: dict[str, Any], path: Path) -> None:
    """Write a parameter file, for the commands of one workflow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, yaml.safe_dump(plain(parameters), sort_keys=False))
