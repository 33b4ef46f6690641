"""Recordings: the codec, and conversion."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hub.audio.wav import wav_facts
from hub.contract.backend import Loaded
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import HubError
from hub.contract.event import AudioChunk, Done
from hub.contract.tokens import Tokens
from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import fail, heard, must, report_of
from hub.testing.driver import Answer, Driver
from hub.testing.probe import PROBE, STOP
from hub.testing.sounds import alike


class Recordings(Base):
    """Tests of a codec and of a converter."""

    def test_its_codec_goes_there_and_back(self, driver: Driver) -> None:
        can = driver.start().capabilities
        if not can.codec:
            pytest.skip("the backend does not declare codec")
        recording = self._recording().audio
        tokens, again = (msgspec.convert(driver.call("encode", recording), Tokens) for _ in range(2))
        must(tokens.codebooks > 0 and tokens.frames > 0, "encode gave no tokens for an ordinary recording")
        must(min(map(min, tokens.rows)) >= 0, "encode gave token ids below 0")
        must(tokens == again, "encode gave different tokens the second time; a codec must be deterministic")
        chunk = msgspec.convert(driver.call("decode", tokens), AudioChunk)
        decoded = Answer(chunks=[chunk], marks=[], ending=Done())
        must(not decoded.problem, f"decode, given the tokens of an ordinary recording, {decoded.problem}")
        must(
            chunk.sample_rate == can.sample_rate,
            f"decode gives {chunk.sample_rate} Hz; the declared rate is {can.sample_rate} Hz",
        )
        seconds = wav_facts(recording).seconds
        must(
            abs(chunk.seconds - seconds) <= 0.25 * seconds,
            f"a recording of {seconds:.2f} s is {chunk.seconds:.2f} s long after encode and decode",
        )

    def test_tokens_of_no_codec_are_refused(self, driver: Driver) -> None:
        if not driver.start().capabilities.codec:
            pytest.skip("the backend does not declare codec")
        rows = msgspec.convert(driver.call("encode", self._recording().audio), Tokens).rows
        wrong = {
            "with a codebook too many": [*rows, rows[0]],
            "with ids beyond any codebook": [[2**31 - 1] * len(row) for row in rows],
        }
        for words, given in wrong.items():
            try:
                driver.call("decode", Tokens.from_rows(given))
            except HubError as error:
                must(error.status == 400, f"tokens {words} ended with {error.code}: raise InvalidRequest")
            else:
                fail(f"tokens {words} were decoded: raise InvalidRequest")

    def test_it_converts(self, driver: Driver) -> None:
        loaded = driver.start()
        if not loaded.capabilities.conversion:
            pytest.skip("the backend does not declare conversion")
        request = self._conversion(loaded)
        first, second = (heard(driver.convert(request)) for _ in range(2))
        rates = {chunk.sample_rate for chunk in first.chunks}
        must(
            rates == {loaded.capabilities.sample_rate},
            f"converted chunks are at {rates} Hz; the declared rate is {loaded.capabilities.sample_rate} Hz",
        )
        must(
            request.seed is None or alike(first.samples, second.samples),
            "two conversions with the same seed gave different audio",
        )
        report = report_of(driver.convert(replace(request, options={**request.options, PROBE: STOP})))
        late = report["chunks_after_stop"]
        must(late <= 1, f"{late} converted chunks came after stop was set: ask stop.is_set() before each step")

    def _conversion(self, loaded: Loaded) -> ResolvedConversion:
        """Return a request to convert the recording: to its own voice, or to a preset if the model cannot clone."""
        recording = self._recording()
        target: dict[str, Any] = {"references": (replace(recording, text=None),)}
        if loaded.voices and not loaded.capabilities.cloning:
            target = {"voice": loaded.voices[0].id}
        seed = 1234 if loaded.capabilities.seed else None
        return ResolvedConversion(audio=recording.audio, seed=seed, options=dict(self.options), **target)
