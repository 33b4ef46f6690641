"""Documentation of routes: examples, errors, and operations that return audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from hub.api.http.errors import ErrorBody
from hub.api.http.negotiate import JSON
from hub.audio.encode import BUILTIN
from hub.contract import errors as fault
from hub.contract.errors import HubError

AUDIO_TYPES = tuple(spec.media_type.partition(";")[0] for spec in BUILTIN.values())
"""Media types of the built-in containers."""


def example(summary: str, **value: Any) -> Example:
    """Return an example: a request body that works as it is."""
    return Example(summary=summary, value=value)


WORKING_ERRORS: tuple[type[HubError], ...] = (
    fault.InvalidRequest,
    fault.UnsupportedCapability,
    fault.UnknownModel,
    fault.TooLarge,
    fault.UnsupportedMediaType,
    fault.Busy,
    fault.BackendFailed,
    fault.EmptyAudio,
    fault.DeadlineExceeded,
    fault.BackendCrashed,
    fault.OutOfMemory,
)
"""Errors of every route that uses a model."""


SPEAKING_ERRORS: tuple[type[HubError], ...] = (
    *WORKING_ERRORS,
    fault.EmptyText,
    fault.UnspeakableText,
    fault.UnknownVoice,
)
"""Errors of every route that speaks a SpeechRequest, until its audio begins."""


def errors(*kinds: type[HubError], body: type = ErrorBody) -> dict[int, ResponseSpec]:
    """Return `responses=` for a handler: the errors that it may return, in this `body`."""
    by_status: dict[int, list[type[HubError]]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {
        status: ResponseSpec(
            body,
            generate_examples=False,
            description="; ".join(f"`{kind.code}`: {(kind.__doc__ or '').strip()}" for kind in found),
        )
        for status, found in by_status.items()
    }


@dataclass
class AudioOperation(Operation):
    """An operation that returns audio. Subclasses set `examples` of the body, and other content that it returns."""

    examples: ClassVar[Sequence[Example]] = ()
    audio_types: ClassVar[Sequence[str]] = AUDIO_TYPES
    other_content: ClassVar[Mapping[str, OpenAPIMediaType]] = {}

    def __post_init__(self) -> None:
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        text = Schema(type=OpenAPIType.STRING)
        assert self.responses is not None
        if self.examples:
            body = cast(RequestBody, self.request_body)
            body.content[JSON].examples = {str(example.summary): example for example in self.examples}
        self.responses["200"] = OpenAPIResponse(
            description="Audio in the requested container",
            content={**dict.fromkeys(self.audio_types, binary), **self.other_content},
            headers={
                "X-Sample-Rate": OpenAPIHeader(schema=Schema(type=OpenAPIType.INTEGER), description="Hz"),
                "X-Request-Id": OpenAPIHeader(schema=text, description="your own, if you sent one"),
                "X-Model": OpenAPIHeader(schema=text, description="the model that speaks"),
                "X-Voice": OpenAPIHeader(schema=text, description="the voice that speaks"),
            },
        )
