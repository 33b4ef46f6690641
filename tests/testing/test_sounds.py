"""Comparing sounds: rounding makes no difference; another length or another sound does."""

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
def test_up_to_three_steps_of_16_bits_count_as_rounding(kind):
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


def test_a_sound_with_nan_is_like_no_other():
    broken = TONE.copy()
    broken[3] = np.nan
    assert not alike(broken, broken)


def test_two_empty_sounds_are_alike():
    assert alike(b"", b"")
    assert not alike(b"", PCM.tobytes())
