"""The parts of a multipart form."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from hub.contract.errors import InvalidRequest

MULTIPART = "multipart/form-data"

MOST_PARTS = 256


class Upload(Struct, frozen=True):
    """A file in a form."""

    filename: str
    content_type: str
    content: bytes


def form_parts(body: bytes, boundary: str, most: int = MOST_PARTS) -> Iterator[tuple[str, str | Upload]]:
    """Yield (name, text) for each plain field and (name, file) for each file. The body is in memory, and so are they.

    A part with a file name, or with a content type other than text, is a file. Raises InvalidRequest for a malformed
    form and for more than `most` parts.
    """
    try:
        with PushMultipartParser(boundary.encode(), max_segment_count=most) as parser:
            head: MultipartSegment | None = None
            content = bytearray()
            for event in itertools.chain(parser.parse(body), parser.parse(b"")):
                if isinstance(event, MultipartSegment):
                    head, content = event, bytearray()
                elif event:
                    content += event
                elif head is not None:
                    yield head.name, _part(head, bytes(content))
    except UnicodeError as error:
        raise InvalidRequest("cannot read the form: its text must be UTF-8") from error
    except MultipartError as error:
        raise InvalidRequest(f"cannot read the form: {error}") from error


def _part(head: MultipartSegment, content: bytes) -> str | Upload:
    if head.filename is None and (head.content_type or "text/plain").startswith("text/"):
        return content.decode()
    return Upload(head.filename or "", head.content_type or "", content)
