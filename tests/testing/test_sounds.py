"""Which sounds a test calls alike: rounding is forgiven, another length or another sound is not."""

import io
import wave

import numpy as np
import pytest

from hub.testing.sounds import alike

TONE = np.sin(np.arange(2000) / 9).astype(np.float32) / 2
PCM = (TONE * 32767).astype("<i2")


def wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("kind", [lambda s: s, lambda s: s.tobytes(), wav], ids=["array", "pcm", "wav"])
def test_a_step_or_three_of_16_bits_is_rounding_and_more_is_not(kind):
    assert alike(kind(PCM), kind(PCM))
    assert alike(kind(PCM), kind(PCM + np.int16(3)))
    assert not alike(kind(PCM), kind(PCM + np.int16(4)))
    assert not alike(kind(PCM), kind(PCM[:-1]))
    assert not alike(kind(PCM), kind(PCM[::-1].copy()))


def test_floats_are_compared_as_they_are():
    assert alike(TONE, TONE + 9e-5)
    assert not alike(TONE, TONE + 2e-4)
    assert not alike(TONE, TONE * 0.99)
    assert alike(TONE, TONE * 0.99, within=0.01)


def test_what_is_no_number_is_like_nothing():
    broken = TONE.copy()
    broken[3] = np.nan
    assert not alike(broken, broken)


def test_no_sound_is_like_no_sound():
    assert alike(b"", b"")
    assert not alike(b"", PCM.tobytes())
