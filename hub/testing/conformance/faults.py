"""Faults: odd texts, unknown voices, and the state of the model after a fault."""

from __future__ import annotations

from hub.contract.errors import all_errors
from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import must
from hub.testing.driver import Driver
from hub.testing.probe import PROBE, STOP
from hub.testing.sounds import alike


class Faults(Base):
    """Tests of requests that may or must be refused."""

    def test_odd_texts_are_spoken_or_refused(self, driver: Driver) -> None:
        problems = []
        for text in self.odd_texts:
            answer = driver.speak(self.request(text))
            if answer.fault is None:
                problem = answer.problem
            elif _status(answer.fault.code) == 400:
                problem = "" if answer.fault.message else "was refused without a message"
            else:
                problem = f"ended with {answer.fault.code}: {answer.fault.message}"
            if problem:
                problems.append(f"{text[:40]!r} ({len(text)} characters) {problem}")
        must(
            not problems,
            "each text must give audio, or a typed error such as hub.contract.errors.UnspeakableText:\n"
            + "\n".join(problems),
        )

    def test_an_unknown_voice_is_never_another(self, driver: Driver) -> None:
        answer = driver.speak(self.request(voice="no-such-voice"))
        must(answer.fault is not None, "an unknown voice was spoken with another one: raise UnknownVoice")
        assert answer.fault is not None
        known = ("unknown_voice", "unsupported_capability")
        must(
            answer.fault.code in known,
            f"an unknown voice ended with {answer.fault.code}: raise UnknownVoice",
        )

    def test_a_fault_leaves_the_model_intact(self, driver: Driver) -> None:
        before = self._speak(driver, self.request())
        driver.speak(self.request(voice="no-such-voice"))
        driver.speak(self.request(self.long_text, options={PROBE: STOP}))
        after = self._speak(driver, self.request())
        if driver.start().capabilities.seed:
            must(
                alike(before.samples, after.samples),
                "after a fault and a stopped request, the same request with the same seed sounds different",
            )


def _status(code: str) -> int:
    return next((error.status for error in all_errors() if error.code == code), 500)
