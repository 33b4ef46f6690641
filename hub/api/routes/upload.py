"""Voice uploads as multipart forms, beside JSON and msgpack: one route takes all three."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from hub.api.http.negotiate import JSON, HubRequest
from hub.api.http.parts import MULTIPART, Upload, form_parts
from hub.api.http.problems import invalid_body
from hub.contract.errors import InvalidRequest
from hub.contract.voice import MOST_RECORDINGS, VoiceUpload

MOST_PARTS = 64

_PLAIN = ("id", "name", "language", "description", "consent")
_FIELDS = (*_PLAIN, "tags", "audio", "text")


class UploadRequest(HubRequest):
    """A request whose body is a VoiceUpload, as JSON, msgpack or a form."""

    __slots__ = ()

    async def json(self) -> Any:
        """Return the VoiceUpload. Raises InvalidRequest."""
        if self.content_type[0].lower() != MULTIPART:
            return await super().json()
        return await asyncio.to_thread(_upload, await self.body(), self.content_type[1].get("boundary", ""))


def _upload(body: bytes, boundary: str) -> VoiceUpload:
    """Read the form. `audio` and `text` may repeat and are paired in order; `tags` may repeat or be split by commas."""
    values: dict[str, list[Any]] = {}
    for name, part in form_parts(body, boundary, MOST_PARTS):
        value = part.content if isinstance(part, Upload) else part
        if name not in _FIELDS:
            raise InvalidRequest(
                f"unknown field {name[:100]!r}; allowed here: {', '.join(_FIELDS)}", fields=[name[:100]]
            )
        if isinstance(value, bytes) != (name == "audio"):
            kind = "a file" if name == "audio" else "a plain field"
            raise InvalidRequest(f"{name}: must be {kind}", fields=[name])
        values.setdefault(name, []).append(value)
    if not values.get("id") or not values.get("audio"):
        missing = "id" if not values.get("id") else "audio"
        raise InvalidRequest(f"missing field {missing!r}; a voice needs `id` and `audio`", fields=[missing])
    if repeated := [name for name in _PLAIN if len(values.get(name, ())) > 1]:
        raise InvalidRequest(f"{repeated[0]}: sent more than once", fields=repeated)
    audio, texts = values["audio"], values.get("text", [])
    if len(audio) > MOST_RECORDINGS or len(texts) > len(audio):
        raise InvalidRequest(
            f"there are {len(audio)} `audio` files and {len(texts)} `text` fields: send at most {MOST_RECORDINGS} "
            "files, and at most one text for each",
            fields=["audio", "text"],
        )
    texts += [None] * (len(audio) - len(texts))
    found = {
        **{name: values[name][0] for name in _PLAIN if values.get(name)},
        "tags": [tag.strip() for tags in values.get("tags", ()) for tag in tags.split(",") if tag.strip()],
        "recordings": [{"audio": file, "text": text} for file, text in zip(audio, texts, strict=True)],
    }
    try:
        return msgspec.convert(found, VoiceUpload)
    except msgspec.ValidationError as error:
        raise invalid_body(error, VoiceUpload) from error


@dataclass
class UploadOperation(Operation):
    """An operation whose form is documented beside its JSON body."""

    def __post_init__(self) -> None:
        body = self.request_body
        assert isinstance(body, RequestBody)
        text = Schema(type=OpenAPIType.STRING)
        texts = Schema(type=OpenAPIType.ARRAY, items=text)
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        body.content[MULTIPART] = OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                required=["id", "audio"],
                properties={
                    **dict.fromkeys(_PLAIN, text),
                    "tags": texts,
                    "audio": Schema(type=OpenAPIType.ARRAY, items=file, min_items=1, max_items=MOST_RECORDINGS),
                    "text": texts,
                },
            )
        )
        assert JSON in body.content
