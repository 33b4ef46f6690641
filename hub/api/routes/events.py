"""POST /v1/speech/events: speech as server-sent events, with marks."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import msgspec
from litestar import Request, Response, post
from litestar.params import FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec.structs import replace

from hub.api.http import sse
from hub.api.http.openapi import SPEAKING_ERRORS, AudioOperation, errors, example
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers
from hub.api.routes.messages import Audio, Ended, Failed, Marked, ServerMessage, Started
from hub.contract.errors import Cancelled, HubError
from hub.contract.event import Mark
from hub.contract.speech import SpeechRequest
from hub.service.speech.marks import MarkedSpeech
from hub.text.spoken import spoken_text

if TYPE_CHECKING:
    from hub.service.hub import Hub

log = logging.getLogger("hub.api")


class EventsOperation(AudioOperation):
    """The documentation of the route."""

    examples = (
        example("Events", text="Hello from the hub."),
        example("Bare samples", text="Hello from the hub.", format={"container": "pcm"}),
    )
    audio_types = ()
    other_content = sse.documented(
        "`event` is started, audio (base64), mark, done or fault; `data` is JSON with the same `type`"
    )


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @post(
        "/v1/speech/events",
        status_code=200,
        operation_class=EventsOperation,
        operation_id="speakEvents",
        summary="Speak, as server-sent events with marks",
        tags=["speech"],
        responses=errors(*SPEAKING_ERRORS),
    )
    async def speak_events(
        data: JSONBody[SpeechRequest],
        request: Request,  # type: ignore[type-arg]
        words: FromQuery[bool] = False,
    ) -> Response:  # type: ignore[type-arg]
        """Sends `started`, then `audio` and `mark` as they are made, then `done` or `fault`.

        An error before the first audio has its own status, as in POST /v1/speech. With `words` each word has a mark,
        `estimated` if the model gives none. Closing the connection stops the model.
        """
        speech = await open_speech(hub, request, replace(data, stream=True))
        marked = MarkedSpeech(speech, spoken_text(data), words=words)
        packed = await pack(hub, marked, data.format, whole=False)
        headers = speech_headers(packed) | sse.HEADERS
        return PartsResponse(sse.with_pings(events(packed)), packed, media_type=sse.MEDIA_TYPE, headers=headers)

    return [speak_events]


async def events(packed: PackedSpeech) -> AsyncGenerator[bytes, None]:
    """Yield the events of a speech, up to its `done` or `fault`."""
    speech, encoder = packed.speech, packed.encoder
    yield _event(
        Started(model=speech.model, voice=speech.voice, media_type=encoder.media_type, sample_rate=encoder.sample_rate)
    )
    try:
        async for event in packed.events():
            if isinstance(event, bytes):
                yield _event(Audio(size=len(event), audio=event))
            elif isinstance(event, Mark):
                yield _event(Marked.of(event))
            else:
                yield _event(Ended(seconds=round(packed.seconds, 4), report=event.report))
    except Cancelled:
        raise
    except HubError as error:
        log.warning("request %s: fault after %.1f s of audio: %s", speech.request_id, packed.seconds, error.code)
        yield _event(Failed.of(error))


def _event(message: ServerMessage) -> bytes:
    return sse.server_event(msgspec.json.encode(message), event=str(message.__struct_config__.tag))
