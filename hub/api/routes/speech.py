"""POST /v1/speech: the hub's own speech route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Request, Response, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from hub.api.http.openapi import SPEAKING_ERRORS, AudioOperation, errors, example
from hub.api.respond import speech_response
from hub.contract import errors as fault
from hub.contract.speech import SpeechRequest

if TYPE_CHECKING:
    from hub.service.hub import Hub


class SpeakOperation(AudioOperation):
    """The documentation of the route."""

    examples = (
        example("Speak", text="Hello from the hub."),
        example(
            "A dialogue",
            turns=[{"text": "Good morning."}, {"text": "Morning! [pause:500ms] Coffee?"}],
            gap=0.5,
        ),
        example("Pronunciations", text="The SQL of Nguyen.", pronunciations={"SQL": "sequel", "nguyen": "win"}),
        example("Stream mp3", text="Hello from the hub.", format={"container": "mp3"}, stream=True),
        example(
            "A sample rate and an encoding",
            text="Hello from the hub.",
            format={"container": "wav", "sample_rate": 48000, "encoding": "f32le"},
        ),
    )


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @post(
        "/v1/speech",
        status_code=200,
        operation_class=SpeakOperation,
        operation_id="speak",
        summary="Speak a text or a dialogue",
        tags=["speech"],
        responses=errors(*SPEAKING_ERRORS, fault.UnknownScene, fault.NotFound),
    )
    async def speak(data: JSONBody[SpeechRequest], request: Request) -> Response:  # type: ignore[type-arg]
        """Returns audio: complete, with its length, or with `stream` while it is generated.

        An error after the first audio of a stream cuts the connection. Closing the connection stops the model.
        """
        return await speech_response(hub, request, data)

    return [speak]
