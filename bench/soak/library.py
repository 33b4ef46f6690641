"""Stored voices: created, used, renamed and removed."""

from __future__ import annotations

import base64
import random
import time
from typing import Any

import httpx
import numpy as np

from bench.soak.book import Book
from bench.soak.patient import SHAKY, STEADY, Patient
from bench.soak.speech import Callers
from hub.audio.decode import Audio, to_wav_f32
from hub.contract.speech import Reference
from hub.contract.voice import VoiceDraft
from hub.testing.tone import Tone


class Library:
    """Each call of `live` is the life of one voice."""

    def __init__(self, patient: Patient, book: Book, chance: random.Random, callers: Callers) -> None:
        self._patient = patient
        self._book = book
        self._chance = chance
        self._callers = callers
        self._count = 0
        self._uncertain: set[str] = set()  # ids that were changing when the hub was killed

    async def live(self) -> None:
        """Create a voice, speak with it, rename it, and remove it."""
        self._count += 1
        old, new = f"voice {self._count}", f"renamed-{self._count}"
        recording = self._recording()
        pitch = int(Tone().make_voice(VoiceDraft(references=(Reference(audio=recording, text="hum"),))))
        if not await self._call("POST", "/v1/voices", 201, self._form(old, recording), names=(old, new)):
            return
        for model in (STEADY, SHAKY, STEADY):
            await self._callers.speak("speech with a stored voice", model, old, pitch)
        if not await self._call("PATCH", f"/v1/voices/{old}", 200, {"json": {"id": new}}, names=(old, new)):
            return
        await self._call("GET", f"/v1/voices/{old}", 404, {}, names=(old, new))
        await self._callers.speak("speech with a stored voice", STEADY, new, pitch, "flac")
        await self._call("GET", f"/v1/voices/{new}/audio", 200, {}, names=(old, new))
        await self._call("DELETE", f"/v1/voices/{new}", 204, {}, names=(old, new))

    async def left(self) -> set[str]:
        """Return the ids of leftover voices, after removing those that a kill of the hub left behind."""
        answer = await self._callers.client.get(f"{self._patient.url}/v1/voices")
        stored = {voice["id"] for voice in answer.json()["voices"] if voice["kind"] == "stored"}
        for id in stored & self._uncertain:
            await self._call("DELETE", f"/v1/voices/{id}", 204, {}, names=(id, id))
        return stored - self._uncertain

    def _recording(self) -> bytes:
        rate, seconds = self._chance.choice([16_000, 24_000, 48_000]), self._chance.uniform(1.0, 6.0)
        wave = self._chance.uniform(0.05, 0.8) * np.sin(np.arange(int(rate * seconds)) / 20)
        return to_wav_f32(Audio(wave.astype(np.float32), rate))

    def _form(self, id: str, recording: bytes) -> dict[str, Any]:
        if self._chance.random() < 0.5:
            return {"data": {"id": id, "text": "hum"}, "files": {"audio": ("hum.wav", recording)}}
        recordings = [{"audio": base64.b64encode(recording).decode(), "text": "hum"}]
        return {"json": {"id": id, "recordings": recordings}}

    async def _call(self, method: str, path: str, status: int, fields: dict[str, Any], names: tuple[str, str]) -> bool:
        """Send one request to the library; return False if it failed."""
        kind, began = f"voices, {method}", time.monotonic()
        try:
            answer = await self._callers.client.request(method, self._patient.url + path, **fields)
        except httpx.TransportError as error:
            self._uncertain.update(names)
            self._book.settle(kind, STEADY, began, "connection broken", repr(error))
            return False
        if answer.status_code != status:
            self._book.fail(kind, f"{answer.status_code} instead of {status}: {answer.text[:300]}")
            return False
        self._book.count(kind, "ok" if status < 400 else str(status))
        return True
