"""The loaded model: its capabilities and voices, its audio, and how it streams, stops and shares its worker."""

from __future__ import annotations

import re

import pytest

from hub.contract.event import Span
from hub.contract.speech import Sampling, SpeechRequest, Turn
from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import heard, must, report_of
from hub.testing.driver import Driver
from hub.testing.probe import PROBE, STOP
from hub.testing.sounds import alike

_LANGUAGE = re.compile(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*")


class Speaking(Base):
    """Tests of ordinary speech."""

    def test_it_loads_and_says_what_it_can(self, driver: Driver) -> None:
        loaded = driver.start()
        can = loaded.capabilities
        must(can.sample_rate > 0, "declare `sample_rate`, in the BackendSpec or in `capabilities` after load")
        must(loaded.concurrency >= 1, f"`concurrency` is {loaded.concurrency}; it must be at least 1")
        bad = [language for language in can.languages if not _LANGUAGE.fullmatch(language)]
        must(not bad, f"`languages` must be BCP 47 tags such as en or zh-CN, not {bad}")
        must(
            can.preset_voices or can.cloning or not loaded.voices,
            "voices() lists voices, but neither preset_voices nor cloning is declared",
        )

    def test_it_lists_its_voices(self, driver: Driver) -> None:
        loaded = driver.start()
        ids = [voice.id for voice in loaded.voices]
        must(
            bool(ids) == loaded.capabilities.preset_voices,
            f"preset_voices is {loaded.capabilities.preset_voices}, but voices() lists {len(ids)} voices",
        )
        must(all(ids) and len(set(ids)) == len(ids), f"voice ids must not be empty, and must be unique: {ids}")
        must(
            sum(voice.default for voice in loaded.voices) <= 1,
            "at most one voice can be the default",
        )
        answers = [self._speak(driver, self.request(voice=voice)) for voice in ids[:3]]
        sounds = {answer.samples.tobytes() for answer in answers}
        must(len(sounds) == len(answers), f"some of the voices {ids[:3]} sound exactly the same")

    def test_audio_is_finite_and_at_the_declared_rate(self, driver: Driver) -> None:
        answer = self._speak(driver, self.request())
        declared = driver.start().capabilities.sample_rate
        rates = {chunk.sample_rate for chunk in answer.chunks}
        must(rates == {declared}, f"chunks are at {rates} Hz; the declared rate is {declared} Hz")

    def test_spans_and_marks_lie_within(self, driver: Driver) -> None:
        answer = self._speak(driver, self.request(self.long_text))
        given: list[Span | None] = [chunk.span for chunk in answer.chunks] + [mark.span for mark in answer.marks]
        spans = [span for span in given if span is not None]
        outside = [span for span in spans if not 0 <= span[0] <= span[1] <= len(self.long_text)]
        must(not outside, f"spans {outside} are not within the {len(self.long_text)} characters of the text")
        slack = 0.05
        bad = [mark for mark in answer.marks if not 0 <= mark.start <= mark.end <= answer.seconds + slack]
        must(not bad, f"marks must be in seconds from the start of the stream ({answer.seconds:.2f} s long): {bad}")

    def test_it_streams_before_it_is_done(self, driver: Driver) -> None:
        if not driver.start().capabilities.streaming:
            pytest.skip("the backend does not declare streaming")
        answer = self._speak(driver, self.request(self.long_text))
        must(
            len(answer.chunks) > 1 and answer.chunks[0].seconds < answer.seconds / 2,
            f"streaming is declared, but the first of {len(answer.chunks)} chunks holds {answer.chunks[0].seconds:.1f} "
            f"of {answer.seconds:.1f} s: yield audio as soon as it exists",
        )

    def test_it_stops_within_one_chunk(self, driver: Driver) -> None:
        whole = self._speak(driver, self.request(self.long_text))
        report = report_of(driver.speak(self.request(self.long_text, options={PROBE: STOP})))
        if len(whole.chunks) == 1:
            must(report["asked"] > 0, "speak never asks stop.is_set(): ask it between the steps of the model")
            return
        late = report["chunks_after_stop"]
        must(
            late <= 1,
            f"{late} chunks came after stop was set: ask stop.is_set() before each step and return once it is true",
        )

    def test_one_seed_gives_one_audio(self, driver: Driver) -> None:
        if not driver.start().capabilities.seed:
            pytest.skip("the backend does not declare seed")
        first, second = (self._speak(driver, self.request(seed=1234)) for _ in range(2))
        must(
            alike(first.samples, second.samples),
            "two requests with the same seed gave different audio: use a separate random generator for each request",
        )

    def test_requests_at_once_do_not_mix(self, driver: Driver) -> None:
        loaded = driver.start()
        texts = [_turned(self.long_text, number) for number in range(max(3, min(loaded.concurrency, 4)))]
        requests = [self.request(text) for text in texts]
        alone = [self._speak(driver, request) for request in requests]
        together = [heard(answer) for answer in driver.speak_together(requests)]
        if not loaded.capabilities.seed:
            return
        mixed = [
            text for text, one, many in zip(texts, alone, together, strict=True) if not alike(one.samples, many.samples)
        ]
        must(
            not mixed,
            f"{len(mixed)} of {len(texts)} requests sound different when they are spoken at once, with the same seed: "
            "keep the state of a request out of the synthesizer, or declare concurrency = 1",
        )

    def test_speed_changes_the_pace(self, driver: Driver) -> None:
        if not driver.start().capabilities.speed:
            pytest.skip("the backend does not declare speed")
        slow, normal, fast = (self._speak(driver, self.request(speed=speed)) for speed in (0.75, 1.0, 1.5))
        must(
            slow.seconds > normal.seconds > fast.seconds,
            f"at speeds 0.75, 1 and 1.5 the text takes {slow.seconds:.2f}, {normal.seconds:.2f} and "
            f"{fast.seconds:.2f} s: a backend that declares speed must change the pace",
        )

    def test_declared_features_are_taken(self, driver: Driver) -> None:
        can = driver.start().capabilities
        wanted: list[SpeechRequest] = [self.request(language=can.languages[0])] if can.languages else []
        if can.instruct:
            wanted.append(self.request(instruct="Speak calmly."))
        if can.dialogue:
            wanted.append(self.request(turns=(Turn(text=self.text, speaker="a"), Turn(text=self.text, speaker="b"))))
        if can.sampling:
            wanted.append(self.request(sampling=Sampling(temperature=0.7, top_k=30, top_p=0.8)))
        for request in wanted:
            self._speak(driver, request)


def _turned(text: str, count: int) -> str:
    """Rotate `text` by some words, or by characters in a script without spaces."""
    separator = " " if " " in text else ""
    words = text.split() if separator else list(text)
    start = 3 * count % len(words)
    return separator.join(words[start:] + words[:start])
