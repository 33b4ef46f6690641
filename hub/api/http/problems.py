"""Turns msgspec's validation errors into messages that say what to send instead."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import inspect

from hub.contract.errors import InvalidRequest

_AT = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_NAMED = re.compile(r"`(.+)`$")


def invalid_body(error: msgspec.ValidationError, kind: Any) -> InvalidRequest:
    """Return the error for a body that is well-formed but not a valid `kind`.

    `detail` has `field` (the path, such as `turns[0].text`) and, where it helps, `allowed`; an unknown or missing field
    is repeated as `unknown` or `missing`.
    """
    text = str(error)
    found = _AT.search(text)
    path = found.group(1) if found else ""
    problem = text[: found.start()] if found else text
    if problem.startswith("Object contains unknown field"):
        field = _join(path, _name_in(problem))
        allowed = _fields_at(kind, path)
        return InvalidRequest(
            f"unknown field {field!r}; allowed here: {', '.join(allowed)}", field=field, unknown=field, allowed=allowed
        )
    if problem.startswith("Object missing required field"):
        field = _join(path, _name_in(problem))
        return InvalidRequest(f"missing field {field!r}", field=field, missing=field)
    if problem.startswith("Invalid enum value") and (values := _values_at(kind, path)):
        words = ", ".join(map(str, values))
        return InvalidRequest(f"{path or 'the body'}: {_lower(problem)}; allowed: {words}", field=path, allowed=values)
    return InvalidRequest(f"{path or 'the body'}: {_lower(problem)}", field=path)


def _lower(problem: str) -> str:
    return problem[:1].lower() + problem[1:].replace("`", "")


def _name_in(problem: str) -> str:
    found = _NAMED.search(problem)
    return found.group(1) if found else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _fields_at(kind: Any, path: str) -> list[str]:
    for found in _types_at(kind, path):
        if isinstance(found, inspect.StructType):
            return [field.encode_name for field in found.fields]
    return []


def _values_at(kind: Any, path: str) -> list[Any]:
    for found in _types_at(kind, path):
        if isinstance(found, inspect.LiteralType):
            return list(found.values)
        if isinstance(found, inspect.EnumType):
            return [member.value for member in found.cls]
    return []


def _types_at(kind: Any, path: str) -> list[inspect.Type]:
    """Return the types that a value at `path` inside `kind` may have."""
    types = _alternatives(inspect.type_info(kind))
    for name, _index in _STEP.findall(path):
        inner: list[inspect.Type] = []
        for found in types:
            inner += _alternatives(step) if (step := _step(found, name)) is not None else []
        types = inner
    return types


def _alternatives(found: inspect.Type) -> list[inspect.Type]:
    if isinstance(found, inspect.Metadata):
        return _alternatives(found.type)
    if isinstance(found, inspect.UnionType):
        return [one for alternative in found.types for one in _alternatives(alternative)]
    return [found]


def _step(found: inspect.Type, name: str) -> inspect.Type | None:
    """Return the type of the field `name`, or, without a name, of an item."""
    if name:
        if isinstance(found, inspect.StructType):
            return next((field.type for field in found.fields if field.encode_name == name), None)
        return None
    if isinstance(found, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        return found.item_type
    if isinstance(found, inspect.DictType):
        return found.value_type
    return None
