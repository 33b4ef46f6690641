"""Requests that carry a recording as multipart forms, beside JSON and msgpack: curl -F audio=@recording.wav."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from msgspec import Struct

from hub.api.http.negotiate import HubRequest
from hub.api.http.parts import MULTIPART, Upload, form_parts
from hub.api.http.problems import invalid_body
from hub.contract.errors import InvalidRequest

TRANSCRIPT = "reference_text"
"""The form field with the transcripts of `references`, in their order."""


class FormRequest(HubRequest):
    """A request whose body is the handler's Struct, as JSON, msgpack or a form.

    In a form, `audio` is a file, and `references` may be repeated and are files; `reference_text` is repeated with
    them. `format` is a container's name or a JSON object, `options` a JSON object.
    """

    __slots__ = ()

    async def json(self) -> Any:
        """Return the Struct. Raises InvalidRequest, UnsupportedMediaType."""
        if self.content_type[0].lower() != MULTIPART:
            return await super().json()
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        boundary = self.content_type[1].get("boundary", "")
        return await asyncio.to_thread(_from_form, await self.body(), boundary, kind)


def _from_form(body: bytes, boundary: str, kind: type[Struct]) -> Struct:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    allowed = [*types, *([TRANSCRIPT] if "references" in types else [])]
    values: dict[str, Any] = {}
    for name, part in form_parts(body, boundary):
        value = part.content if isinstance(part, Upload) else part
        if name not in allowed:
            raise InvalidRequest(
                f"unknown field {name[:100]!r}; allowed here: {', '.join(allowed)}", fields=[name[:100]]
            )
        if isinstance(value, bytes) != (name in ("audio", "references")):
            wanted = "a file" if isinstance(value, str) else "a plain field"
            raise InvalidRequest(f"{name}: must be {wanted}", fields=[name])
        if name in ("references", TRANSCRIPT):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidRequest(f"{name}: sent more than once", fields=[name])
        else:
            values[name] = value if isinstance(value, bytes) else _plain(name, value, types[name])
    texts = values.pop(TRANSCRIPT, [])
    if references := values.get("references", []):
        texts += [None] * (len(references) - len(texts))
    if len(texts) > len(references):
        raise InvalidRequest(
            f"{TRANSCRIPT}: send at most one for each file in `references`, in their order", fields=[TRANSCRIPT]
        )
    if references:
        values["references"] = [{"audio": file, "text": text} for file, text in zip(references, texts, strict=True)]
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise invalid_body(error, kind) from error


def _plain(name: str, text: str, kind: Any) -> Any:
    """Read a plain field: a string if the field takes one, else JSON. A format may be a container's name."""
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return {"container": text} if name == "format" else text
    return text


@dataclass
class FormOperation(Operation):
    """An operation whose form is documented beside its JSON body."""

    def __post_init__(self) -> None:
        document_form(self, ("audio",), ("model",))


def document_form(
    operation: Operation, required: tuple[str, ...], plain: tuple[str, ...], *, references: bool = False
) -> None:
    """Document a form of files and plain fields as another content type of an operation's body."""
    body = operation.request_body
    assert isinstance(body, RequestBody)
    text = Schema(type=OpenAPIType.STRING)
    file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
    properties: dict[str, Reference | Schema] = {"audio": file, **dict.fromkeys(plain, text)}
    if references:
        properties["references"] = Schema(type=OpenAPIType.ARRAY, items=file, max_items=16)
        properties[TRANSCRIPT] = Schema(type=OpenAPIType.ARRAY, items=text, max_items=16)
    body.content[MULTIPART] = OpenAPIMediaType(
        schema=Schema(type=OpenAPIType.OBJECT, required=list(required), properties=properties)
    )
