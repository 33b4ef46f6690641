"""A Wyoming connection: requests arrive as events, audio leaves as events, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event, async_write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

from hub.contract.errors import HubError, InternalError, InvalidRequest
from hub.contract.speech import AudioFormat, SpeechRequest
from hub.text.arriving import ArrivingSentences
from hub.wyoming.catalog import describe, find_voice
from hub.wyoming.speaker import Speaker, SpeakerVoice

log = logging.getLogger("hub.wyoming")

WIDTH, CHANNELS = 2, 1
LARGEST = 1 << 20
"""Most bytes in one event."""
MOST = 256
"""Most events that wait for their answer; the hub reads no more until one is answered."""


class Conversation:
    """One connection. It keeps reading while it speaks, so that a client that leaves stops the model at once.

    `synthesize` is one utterance. Between `synthesize-start` and `synthesize-stop` each sentence is spoken as soon as
    it is complete; for the listener all are one utterance: one audio-start, one audio-stop, then `synthesize-stopped`.
    A `synthesize` in between repeats the text for servers that do not stream, and is ignored. A text that cannot be
    spoken gets an `error` event and ends the connection, so that the client does not wait for audio.
    """

    def __init__(self, speaker: Speaker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._speaker = speaker
        self._reader = BoundedReader(reader)
        self._writer = writer
        self._work: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MOST)
        self._known: dict[str, SpeakerVoice] = {}  # voices by the name that this client uses
        self._text: ArrivingSentences | None = None  # set while a text is streamed
        self._voice: SynthesizeVoice | None = None  # the voice of that text
        self._rate = 0  # Hz of the open audio; 0: none is open

    async def run(self) -> None:
        """Serve until the client leaves, or a request fails."""
        sides = [asyncio.create_task(side, name="wyoming") for side in (self._listen(), self._answer())]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _listen(self) -> None:
        try:
            while (event := await async_read_event(self._reader)) is not None:  # type: ignore[arg-type]
                for answer in self._answers_to(event):
                    await self._work.put(answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            log.debug("a client left in the middle of an event")
        except Exception as error:  # whatever a client sends, the server goes on
            log.warning("a client sent an invalid event: %s: %s", type(error).__name__, error)

    async def _answer(self) -> None:
        try:
            while True:
                answer = await self._work.get()
                await answer()
        except ConnectionError:
            log.debug("a client left in the middle of its answer")
        except Exception as error:
            if not isinstance(error, HubError):
                log.exception("a request failed")
                error = InternalError("the hub failed; its log has the cause")
            log.warning("%s: %s", error.code, error.message)
            with suppress(ConnectionError):
                await self._send(Error(text=error.message, code=error.code))

    def _answers_to(self, event: Event) -> list[Callable[[], Awaitable[None]]]:
        """Return the steps that answer an event, in order. Unknown events are ignored, as the protocol demands."""
        if Describe.is_type(event.type):
            return [self._describe]
        if Ping.is_type(event.type):
            return [partial(self._send, Pong(text=Ping.from_event(event).text))]
        if Synthesize.is_type(event.type):
            asked = Synthesize.from_event(event)
            if self._text is not None:
                return []
            return [partial(self._speak, asked.text, asked.voice, asked.text_format), self._stop_audio]
        if SynthesizeStart.is_type(event.type):
            start = SynthesizeStart.from_event(event)
            self._text, self._voice = ArrivingSentences(), start.voice
            return [partial(check_format, start.text_format)]
        if SynthesizeChunk.is_type(event.type) and self._text is not None:
            sentences = self._text.feed(SynthesizeChunk.from_event(event).text)
            return [partial(self._speak, sentence.text, self._voice) for sentence in sentences]
        if SynthesizeStop.is_type(event.type) and self._text is not None:
            sentences, self._text = self._text.flush(), None
            said = [partial(self._speak, sentence.text, self._voice) for sentence in sentences]
            return [*said, self._stop_audio, partial(self._send, SynthesizeStopped())]
        return []

    async def _describe(self) -> None:
        await self._send(describe(await self._speaker.voices()))

    async def _speak(self, text: str, asked: SynthesizeVoice | None, text_format: str | None = None) -> None:
        await check_format(text_format)
        voice = await self._find(asked)
        language = asked.language.replace("_", "-") if asked and asked.language and not asked.name else None
        request = SpeechRequest(
            text=text,
            model=voice.model,
            voice=voice.voice or None,
            language=language,
            format=AudioFormat(container="pcm"),
            stream=True,
        )
        rest = b""
        async with self._speaker.speak(request) as pcm:
            async for part in pcm:
                part = rest + part
                whole = len(part) - len(part) % WIDTH  # a part may end within a sample
                part, rest = part[:whole], part[whole:]
                await self._start_audio(pcm.sample_rate)
                await self._send(AudioChunk(rate=self._rate, width=WIDTH, channels=CHANNELS, audio=part))

    async def _find(self, asked: SynthesizeVoice | None) -> SpeakerVoice:
        name = repr(asked)
        if name not in self._known:
            self._known[name] = find_voice(asked, await self._speaker.voices())
        return self._known[name]

    async def _start_audio(self, rate: int) -> None:
        if self._rate not in (0, rate):  # the model was loaded again, from another checkpoint
            await self._stop_audio()
        if not self._rate:
            self._rate = rate
            await self._send(AudioStart(rate=rate, width=WIDTH, channels=CHANNELS))

    async def _stop_audio(self) -> None:
        if self._rate:
            self._rate = 0
            await self._send(AudioStop())

    async def _send(self, event: Eventable) -> None:
        await async_write_event(event.event(), self._writer)


async def check_format(text_format: str | None) -> None:
    """Raise InvalidRequest for markup."""
    if text_format not in (None, SynthesizeTextFormat.TEXT):
        raise InvalidRequest(f"cannot read {str(text_format)[:50]!r}: send plain text", field="text_format")


class BoundedReader:
    """The part of a StreamReader that reads events, with a bound on the size of one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.readline = reader.readline
        self._reader = reader

    async def readexactly(self, count: int) -> bytes:
        """Read `count` bytes, as a StreamReader does. Raises ValueError for more than `LARGEST`."""
        if not 0 <= count <= LARGEST:
            raise ValueError(f"an event of {count} bytes; the limit is {LARGEST}")
        return await self._reader.readexactly(count)
