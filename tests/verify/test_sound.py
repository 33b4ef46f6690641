"""The measures of sound: extent, pauses, ends, and voices, on sounds whose measures are known."""

import numpy as np
import pytest

from hub.verify.sound import extent_of
from hub.verify.takes import likenesses
from hub.verify.voiceprint import similarity, voiceprint

RATE = 24_000


def buzz(seconds, pitch=120.0, tilt=1.0, level=0.3):
    """Return a voice-like sound: harmonics of a pitch that get weaker by `tilt`, dying away in the last 0.1 s."""
    times = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * pitch * n * times) / n**tilt for n in range(1, int(8000 / pitch)))
    wave *= level / np.abs(wave).max()
    fade = round(0.1 * RATE)
    wave[-fade:] *= np.linspace(1, 0, fade) ** 3
    return wave.astype(np.float32)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def test_silence_has_no_extent():
    assert extent_of(silence(1), RATE) is None
    assert extent_of(np.zeros(3, np.float32), RATE) is None


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_the_extent_is_where_the_sound_is(noise):
    wave = np.concatenate([silence(0.5), buzz(1.0), silence(0.6), buzz(0.5), silence(0.3)])
    wave += np.random.default_rng(0).normal(0, noise, len(wave)).astype(np.float32)
    found = extent_of(wave, RATE)
    assert found.start == pytest.approx(0.5, abs=0.02)
    assert found.end == pytest.approx(2.6, abs=0.12)
    assert found.spoken == pytest.approx(1.5, abs=0.15)
    assert not found.cut_off


def test_a_short_pause_is_part_of_the_speech():
    wave = np.concatenate([buzz(0.5), silence(0.1), buzz(0.5)])
    assert extent_of(wave, RATE).spoken == pytest.approx(1.1, abs=0.1)


def test_an_end_that_does_not_die_away_is_cut_off():
    assert not extent_of(buzz(1.0), RATE).cut_off
    assert extent_of(buzz(1.0)[: -RATE // 5], RATE).cut_off


def test_a_voiceprint_knows_pitch_and_spectrum():
    one = voiceprint(buzz(2.0), RATE)
    assert similarity(one, one) == 1
    assert similarity(one, voiceprint(buzz(3.0, level=0.05), RATE)) > 0.9, "neither length nor loudness counts"
    assert similarity(one, voiceprint(buzz(2.0, pitch=200), RATE)) < 0.3
    assert similarity(one, voiceprint(buzz(2.0, tilt=1.8), RATE)) < 0.3


def test_noise_hardly_moves_a_voiceprint():
    wave = buzz(2.0)
    noisy = wave + np.random.default_rng(0).normal(0, 0.002, len(wave)).astype(np.float32)
    assert similarity(voiceprint(wave, RATE), voiceprint(noisy, RATE)) > 0.8


@pytest.mark.parametrize("wave", [silence(1), silence(0.01), np.random.default_rng(0).normal(0, 0.1, RATE)])
def test_what_has_no_voice_has_no_voiceprint(wave):
    assert voiceprint(wave, RATE) is None


def test_one_odd_voice_stands_out_and_so_do_voices_that_take_turns():
    low, high = voiceprint(buzz(2.0), RATE), voiceprint(buzz(2.0, pitch=200), RATE)
    steady = likenesses([low, low, low, high])
    assert steady[:3] == [1, 1, 1]
    assert steady[3] < 0.3
    assert min(likenesses([low, high, low, high])) < 0.3
    assert likenesses([low, None], [high]) == [similarity(low, high), None]
    assert likenesses([low]) == [None]
