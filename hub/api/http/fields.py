"""The fields of a family's request, in any encoding, checked as FastAPI's servers check them.

`read_fields` reads a body: JSON, msgpack, a urlencoded or a multipart form. The method does not matter: clients send
forms with GET too. `query_fields` reads the query. `as_struct` makes a Struct of such fields, as leniently as pydantic
("7" is a number, "on" is true), and reports all problems at once as an `Unprocessable` with FastAPI's `detail`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from msgspec import Struct, inspect

from hub.api.http.negotiate import decode_body
from hub.api.http.parts import MOST_PARTS, MULTIPART, form_parts
from hub.api.http.parts import Upload as Upload
from hub.contract.errors import InvalidRequest

FORM = "application/x-www-form-urlencoded"

TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0"})

T = TypeVar("T", bound=Struct)


class Unprocessable(InvalidRequest):
    """A request with invalid fields: status 422. `problems` have FastAPI's form."""

    status = 422

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        words = "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in problems)
        super().__init__(words, fields=[str(one["loc"][-1]) for one in problems])
        self.problems = problems


async def read_fields(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the fields of the body; none if it is empty. A repeated field of a form is a list.

    Values are those of JSON or msgpack; in a form, strings and `Upload`s. Raises InvalidRequest for a body that cannot
    be read or is not an object, UnsupportedMediaType for another content type.
    """
    body = await request.body()
    kind, parameters = request.content_type
    kind = kind.lower()
    if not body:
        return {}
    if kind == MULTIPART:
        return await asyncio.to_thread(_collect, form_parts(body, parameters.get("boundary", "")))
    if kind == FORM:
        return _collect(_pairs(body))
    fields = decode_body(body, kind)
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise InvalidRequest("the body must be an object")
    return fields


def query_fields(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the fields of the query as strings. A repeated field is a list."""
    return _collect(request.query_params.multi_items())


def as_struct(fields: Mapping[str, Any], kind: type[T], *, where: str = "body") -> T:
    """Convert `fields` to a `kind`, ignoring names that it does not have. Raises Unprocessable.

    `where` begins each problem's `loc`: "body" or "query". A single value for a list becomes a list of one, as in a
    form. Fields of type `Upload` accept only files.
    """
    problems: list[dict[str, Any]] = []
    found: dict[str, Any] = {}
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    annotations = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for field in info.fields:
        name = field.encode_name
        if name not in fields:
            if field.required:
                problems.append(_problem("missing", (where, name), "Field required", None))
            continue
        try:
            found[field.name] = _converted(fields[name], field.type, annotations[field.name])
        except msgspec.ValidationError as error:
            problems.append(_described(error, field.type, fields[name], (where, name)))
    if problems:
        raise Unprocessable(problems)
    return kind(**found)


def fastapi_body(error: Exception) -> dict[str, Any] | None:
    """Return `{"detail": [...]}` for an Unprocessable, None for any other error."""
    return {"detail": error.problems} if isinstance(error, Unprocessable) else None


def _converted(value: Any, kind: inspect.Type, annotation: Any) -> Any:
    """Convert the value of one field. Raises msgspec.ValidationError."""
    kinds = _alternatives(kind)
    if (items := next((one.item_type for one in kinds if isinstance(one, _LISTS)), None)) is not None:
        value = value if isinstance(value, list | tuple | None) else [value]
        value = value and [_file(one, _alternatives(items)) for one in value]
    value = _file(value, kinds)
    if isinstance(value, str) and any(isinstance(one, inspect.BoolType) for one in kinds):
        word = value.strip().lower()
        value = True if word in TRUE else False if word in FALSE else value
    if isinstance(value, str) and any(isinstance(one, inspect.StrType) for one in kinds):
        return msgspec.convert(value, annotation)  # "null" and "1" are strings here
    return msgspec.convert(_number(value, kinds) if isinstance(value, str) else value, annotation, strict=False)


_LISTS = (inspect.ListType, inspect.VarTupleType)


def _file(value: Any, kinds: list[inspect.Type]) -> Any:
    """Unpack an Upload if the field takes bytes. Raises msgspec.ValidationError for a missing or unexpected file."""
    wanted = any(isinstance(one, inspect.StructType) and one.cls is Upload for one in kinds)
    if wanted and not isinstance(value, Upload | None):
        raise msgspec.ValidationError("Expected a file")
    if wanted or not isinstance(value, Upload):
        return value
    if any(isinstance(one, inspect.BytesType) for one in kinds):
        return value.content
    raise msgspec.ValidationError("Expected text, got a file")


def _number(text: str, kinds: list[inspect.Type]) -> Any:
    """Return the finite number that `text` is, as Python reads it (" 7", ".5"), if the field takes one; else `text`."""
    for wanted, number in ((inspect.IntType, int), (inspect.FloatType, float)):
        if any(isinstance(one, wanted) for one in kinds):
            with suppress(ValueError, OverflowError):
                return value if math.isfinite(value := number(text[:400])) else "not finite"
    return text


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        return _alternatives(kind.type)
    return (
        [found for one in kind.types for found in _alternatives(one)] if isinstance(kind, inspect.UnionType) else [kind]
    )


_PLAIN: tuple[tuple[type[inspect.Type], str, str, str], ...] = (
    (inspect.BoolType, "bool_parsing", "bool_parsing", "Input should be a valid boolean, unable to interpret input"),
    (inspect.IntType, "int_parsing", "int_type", "Input should be a valid integer"),
    (inspect.FloatType, "float_parsing", "float_type", "Input should be a valid number"),
    (inspect.StrType, "string_type", "string_type", "Input should be a valid string"),
)

_PARSED: dict[type[inspect.Type], str] = {inspect.IntType: "an integer", inspect.FloatType: "a number"}


def _described(error: msgspec.ValidationError, kind: inspect.Type, value: Any, loc: tuple[str, ...]) -> dict[str, Any]:
    """Describe a problem in pydantic's words where it has some for the case, else in msgspec's."""
    kinds, text = _alternatives(kind), str(error)
    choices = [str(choice) for one in kinds if isinstance(one, inspect.LiteralType) for choice in one.values]
    if choices:
        words = (
            f"{', '.join(f'{one!r}' for one in choices[:-1])} or {choices[-1]!r}" if choices[1:] else repr(choices[0])
        )
        return _problem("literal_error", loc, f"Input should be {words}", value)
    if " - at " not in text and not any(sign in text for sign in (" <= ", " >= ", " < ", " > ", "length", "regex")):
        for found, parsing, typing, words in _PLAIN:
            if any(isinstance(one, found) for one in kinds):
                if isinstance(value, str) and found in _PARSED:
                    words += f", unable to parse string as {_PARSED[found]}"
                return _problem(parsing if isinstance(value, str) else typing, loc, words, value)
    return _problem("value_error", loc, text.replace("`", ""), value)


def _problem(type: str, loc: tuple[str, ...], msg: str, value: Any) -> dict[str, Any]:
    """Return a problem in FastAPI's form. Its `input` is short, and null for what JSON cannot hold."""
    plain = (
        value if isinstance(value, int | float | bool | None) else str(value)[:200] if isinstance(value, str) else None
    )
    return {"type": type, "loc": list(loc), "msg": msg, "input": plain}


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARTS)
    except ValueError as error:
        raise InvalidRequest(f"cannot read the form: {error}") from error


def _collect(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields
