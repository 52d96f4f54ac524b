"""What models are made of: the decorator that makes one, and the types of their fields."""

import dataclasses
import functools
from typing import Annotated, Any, Literal, TypeVar, cast, dataclass_transform

import pydantic
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from typing_extensions import TypedDict

RULES = ConfigDict(extra="forbid", allow_inf_nan=False)
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def model(cls: type[T]) -> type[T]:
    """A frozen pydantic dataclass without unknown keys; ``dataclasses.replace`` validates, too."""
    make: Any = pydantic.dataclasses.dataclass(frozen=True, config=RULES)
    return cast("type[T]", make(cls))


def typed_dict(name: str, fields: dict[str, Any], total: bool) -> Any:
    """The type of a plain dictionary with these keys, all of them required if ``total``."""
    make: Any = TypedDict  # which type checkers know with constant names only
    kind = make(name, fields, total=total)
    kind.__pydantic_config__ = RULES
    return kind


@dataclasses.dataclass(frozen=True)
class ChangesOf:
    """Annotates a dictionary of some of a model's fields (of ``among``), each valid for it."""

    model: type
    among: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler.generate_schema(_changes(self.model, self.among))


@functools.cache
def _changes(kind: type, among: tuple[str, ...]) -> Any:
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    name = f"{kind.__name__}{'Some' if among else ''}Changes"
    return typed_dict(name, {key: fields[key] for key in among or fields}, total=False)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if any(value in values[:k] for k, value in enumerate(values)):
        raise PydanticCustomError("twice", "names an entry twice")
    return values


def _as_written(value: Any, validate: Any) -> Any:
    validate(value)
    return value


def or_word(word: str) -> WrapValidator:
    """One sentence for a word or a number, where pydantic has one for each."""

    def check(value: Any, validate: Any) -> Any:
        try:
            return validate(value)
        except pydantic.ValidationError:
            message = f"must be {word} or a whole number of at least 1"
            raise PydanticCustomError("word", message) from None

    return WrapValidator(check)


# A number stays as it is written, 180 and not 180.0: files, tables and summaries show it.
AsWritten = WrapValidator(_as_written)
Number = Annotated[float, Strict(), AsWritten]
Rate = Annotated[float, Field(strict=True, gt=0), AsWritten]
AtLeastZero = Annotated[float, Field(strict=True, ge=0), AsWritten]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1), AsWritten]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Text = Annotated[str, Field(min_length=1)]
Triple = Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)]
UNIQUE = (AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True}))
Distinct = Annotated[tuple[T, ...], *UNIQUE]
AtLeastOne = Annotated[tuple[T, ...], Field(min_length=1), *UNIQUE]
Seeds = AtLeastOne[Seed]
Names = Distinct[str]
# Of the training images: a number of them, or all.
Subset = Annotated[Literal["all"] | Count, or_word("all")]
Identifier = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
