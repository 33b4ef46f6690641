"""POST /v1/conversion: a recording, said again in another voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Request, Response, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from hub.api.http.forms import FormRequest, document_form
from hub.api.http.openapi import WORKING_ERRORS, AudioOperation, errors
from hub.api.respond import speech_response
from hub.contract import errors as fault
from hub.contract.conversion import ConversionRequest

if TYPE_CHECKING:
    from hub.service.hub import Hub


class ConvertOperation(AudioOperation):
    """The documentation of the route."""

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = ("model", "voice", "speed", "seed", "format", "stream", "options")
        document_form(self, ("audio",), plain, references=True)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @post(
        "/v1/conversion",
        status_code=200,
        request_class=FormRequest,
        operation_class=ConvertOperation,
        operation_id="convert",
        summary="Say a recording again in another voice",
        tags=["conversion"],
        responses=errors(*WORKING_ERRORS, fault.InvalidAudio, fault.UnknownVoice, fault.StorageFailed),
    )
    async def convert(data: JSONBody[ConversionRequest], request: Request) -> Response:  # type: ignore[type-arg]
        """Returns audio, as `POST /v1/speech` does. The body is JSON, msgpack or a multipart form.

        Needs a model with the capability `conversion`. Without `model`: the default model if it has it, else the first
        that does.
        """
        return await speech_response(hub, request, data)

    return [convert]
