"""A backend that plays recordings of the sentences of `ttshub verify`, and damages them if its model says so.

`path` is a folder of en-1.wav and so on, as `ttshub verify --out` writes it. It is a plugin and a synthesizer; a worker
with the repository on its path can import it.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from hub import hookimpl
from hub.contract import AudioChunk, BackendSpec, Capabilities, Voice
from hub.verify.sentences import SENTENCES

RATE = 24_000
CHUNK = 2400


def noise(wave):
    return np.random.default_rng(0).normal(0, 0.1, len(wave))


def silence(wave):
    """Return nothing but a click, which the hub cannot take for an empty answer."""
    return np.concatenate([[0.5], np.zeros(len(wave))])


def half_speed(wave):
    return soxr.resample(wave, RATE, RATE * 2)


def double_speed(wave):
    return soxr.resample(wave, RATE * 2, RATE)


def truncated(wave):
    """Cut off the last third, in the middle of a word."""
    sounding = np.flatnonzero(np.abs(wave) > 0.02)
    end = sounding[0] + (sounding[-1] - sounding[0]) * 2 // 3
    loud = np.abs(wave[:end]) > 0.1
    return wave[: np.flatnonzero(loud)[-1]]


def repeated(wave):
    return np.concatenate([wave, wave])


def another_voice(wave):
    """Raise the pitch and the formants by a quarter, and the pace with them, which stays an ordinary one."""
    return soxr.resample(wave, RATE * 1.25, RATE)


def crash(wave):
    raise RuntimeError("this backend breaks on purpose")


DAMAGES = {
    damage.__name__: damage
    for damage in (noise, silence, half_speed, double_speed, truncated, repeated, another_voice, crash)
}


class Recorded:
    capabilities = Capabilities(
        sample_rate=RATE, languages=("en-GB",), preset_voices=True, cloning=True, streaming=True
    )

    def load(self, model):
        self._folder = Path(model.path)
        self._damage = DAMAGES.get(model.options.get("damage"))
        self._only = model.options.get("only")
        self._delay = model.options.get("delay", 0.0)

    def voices(self):
        return [Voice(id="tape")]

    def make_voice(self, draft):
        return b"tape"

    def speak(self, request, stop):
        number = [sentence.text for sentence in SENTENCES["en"]].index(request.text) + 1
        wave, _ = soundfile.read(self._folder / f"en-{number}.wav", dtype="float32")
        wave = np.concatenate([np.zeros(round(self._delay * RATE)), wave])
        if self._damage and self._only in (None, number):
            wave = self._damage(wave)
        wave = np.clip(wave, -1, 1).astype(np.float32)
        for start in range(0, len(wave), CHUNK):
            yield AudioChunk.of(wave[start : start + CHUNK], RATE)


@hookimpl
def register_backends():
    return [
        BackendSpec(
            name="recorded",
            synthesizer="tests.support.recorded:Recorded",
            contract=1,
            capabilities=Recorded.capabilities,
        )
    ]
