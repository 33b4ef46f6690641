"""`LocalHub`: a hub in this process, for commands that need no server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import numpy as np

from hub.audio.encode import Encoder, make_encoder
from hub.contract.conversion import ConversionRequest
from hub.contract.event import AudioChunk
from hub.contract.speech import SpeechRequest
from hub.service.hub import Hub
from hub.service.speech.answer import Speech
from hub.service.speech.checks import check_request


class LocalHub:
    """A `Source` that loads a model at its first request; leaving the context ends the workers."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.stop()

    @asynccontextmanager
    async def speak(self, request: SpeechRequest | ConversionRequest, *, whole: bool) -> AsyncIterator[LocalAnswer]:
        """Implement `Source.speak`."""
        clock = asyncio.get_running_loop().time
        if isinstance(request, ConversionRequest):
            model = self.hub.models.able(request.model, "conversion")
        else:
            model = self.hub.models.get(request.model)
            check_request(request, model.spec, self.hub.settings.limits, self.hub.encoders)  # refuse before the load
        asked = clock()
        await model.start()
        loaded = clock()
        speech = await (
            self.hub.convert(request) if isinstance(request, ConversionRequest) else self.hub.speak(request)
        )
        encoder = make_encoder(request.format, speech.sample_rate, whole=whole, encoders=self.hub.encoders)
        answer = LocalAnswer(speech, encoder)
        answer.load, answer.first_audio = loaded - asked, clock() - loaded
        try:
            yield answer
        finally:
            await speech.aclose()
            encoder.close()


class LocalAnswer:
    """The `Answer` of a hub in this process."""

    def __init__(self, speech: Speech, encoder: Encoder) -> None:
        self._speech = speech
        self._encoder = encoder
        self.model = speech.model
        self.voice = speech.voice
        self.sample_rate = encoder.sample_rate
        self.load = 0.0
        self.first_audio: float | None = None
        self.seconds: float | None = 0.0
        self.spoken: int | None = None
        self._seconds = 0.0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._speech:
            if isinstance(event, AudioChunk):
                self._seconds += event.seconds
                self.seconds = self._seconds
                if event.span is not None:
                    self.spoken = event.span[1]
                yield self._encoder.feed(np.frombuffer(event.pcm, "<f4"))
        yield self._encoder.finish()
