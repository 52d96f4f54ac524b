"""Whatever stands in the parameters: they are accepted, or one sentence names the key."""

import copy
import math
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdkd.config import load, resolve
from hdkd.errors import ParameterError
from project import parameters

VALID = parameters()
# What may be null, and mappings whose keys are names that the user gives.
NULLABLE = {
    "study", "colour", "blur", "path", "classes", "distillation", "controls", "epoch_images",
    "licence",
}  # fmt: skip
WORD_OR_NUMBER = {"target", "subset"}
FREE = {"datasets", "classes", "by_dataset", "points", "seeds_by_subset"}
MANY = settings(max_examples=300, deadline=None, derandomize=True)


def places(value, path=()):
    """Every key's path in the parameters, from the top down."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, entry in entries:
        yield (*path, name)
        if isinstance(entry, dict | list):
            yield from places(entry, (*path, name))


def at(parameters, path):
    return reduce(lambda value, name: value[name], path, parameters)


def changed(path, value) -> dict:
    parameters = copy.deepcopy(VALID)
    at(parameters, path[:-1])[path[-1]] = value
    return parameters


PLACES = list(places(VALID))
SCALARS = [path for path in PLACES if not isinstance(at(VALID, path), dict | list | None)]
NUMBERS = [
    path for path in SCALARS
    if isinstance(at(VALID, path), int | float) and not isinstance(at(VALID, path), bool)
]  # fmt: skip
names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=9).map("x{}".format)
SECTIONS = [
    path for path in PLACES
    if isinstance(at(VALID, path), dict) and path[-1] not in FREE and path[-2:-1] != ("smote",)
]  # fmt: skip


def refusal(parameters: dict) -> str:
    """The sentence that refuses ``parameters``."""
    with pytest.raises(ParameterError) as caught:
        resolve(parameters)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert len(sentence) < 400
    return sentence


def answer(parameters: dict) -> str | None:
    """The sentence that refuses ``parameters``, or ``None`` where they are accepted."""
    try:
        resolve(parameters)
    except ParameterError as error:
        return str(error)
    return None


@st.composite
def wrong_types(draw):
    """A scalar replaced by a value of a type that no parameter has in its place."""
    path = draw(st.sampled_from(SCALARS))
    values = st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)
    values |= st.lists(st.lists(st.integers(), max_size=2), min_size=1, max_size=2)
    if path[-1] not in NULLABLE:
        values |= st.none()
    if isinstance(at(VALID, path), bool):
        values |= st.integers() | st.text()
    elif path in NUMBERS:
        values |= st.booleans() | st.text().filter(lambda text: text != "all")
    elif path[-1] not in WORD_OR_NUMBER and "subsets" not in path:
        values |= st.integers() | st.booleans()
    return path, draw(values)


@given(wrong_types())
@MANY
def test_a_value_of_another_type_is_refused_by_its_key(case):
    path, value = case
    assert any(str(name) in refusal(changed(path, value)) for name in path)


@given(st.sampled_from(NUMBERS), st.sampled_from([math.nan, math.inf, -math.inf]))
@MANY
def test_what_is_no_finite_number_is_refused_by_its_key(path, value):
    assert refusal(changed(path, value)).startswith(f"{'.'.join(map(str, path))} must be a finite")


@given(st.sampled_from(SECTIONS), names, st.integers())
@MANY
def test_an_unknown_key_is_refused_by_its_name(path, name, value):
    assert name in refusal(changed((*path, name), value))


@given(st.sampled_from([p for p in NUMBERS if p[-1] != "stage_power"]), st.integers(max_value=-1))
@MANY
def test_a_negative_number_is_refused_by_its_key(path, value):
    sentence = refusal(changed(path, value))
    assert any(isinstance(name, str) and name in sentence for name in path)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip


@given(st.sampled_from(PLACES), anything)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_anything_anywhere_is_accepted_or_refused_in_a_sentence(path, value):
    assert "\n" not in (answer(changed(path, value)) or "")


@given(st.sampled_from(PLACES))
@MANY
def test_a_removed_key_is_accepted_or_named(path):
    parameters = copy.deepcopy(VALID)
    del at(parameters, path[:-1])[path[-1]]
    sentence = answer(parameters)
    assert sentence is None or any(str(name) in sentence for name in path)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@MANY
def test_any_file_is_accepted_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("parameters") / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParameterError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
