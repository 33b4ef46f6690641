import numpy as np
import pytest

from hub.audio.join import FADE, Edges, Loudness, amplify, gain, silence

RATE = 24_000


def sine(hertz=997, seconds=1.0, amplitude=1.0, rate=RATE):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def loudness(samples, rate=RATE, chunk=1000):
    meter = Loudness(rate)
    for start in range(0, len(samples), chunk):
        meter.feed(samples[start : start + chunk])
    meter.pause()
    return meter


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000, 96_000])
def test_a_full_sine_of_997_hz_has_the_loudness_that_the_standard_gives(rate):
    assert loudness(sine(rate=rate), rate).lufs == pytest.approx(-3.01, abs=0.1)


def test_the_weighting_is_that_of_the_standard():
    level = {hertz: loudness(sine(hertz)).lufs - loudness(sine(997)).lufs for hertz in (40, 100, 4000, 8000)}
    assert level[40] < -3.5
    assert level[100] == pytest.approx(-1.83, abs=0.1)  # -1.18 dB, less the 0.65 dB of 997 Hz
    assert level[4000] == pytest.approx(3.3, abs=0.6)
    assert level[8000] == pytest.approx(3.4, abs=0.6)


def test_quiet_passages_do_not_count():
    loud, faint = sine(amplitude=0.3, seconds=3), sine(amplitude=0.002, seconds=3)
    speech = np.concatenate([loud, silence(3.0, RATE), faint, loud])
    assert loudness(speech).lufs == pytest.approx(loudness(loud).lufs, abs=0.4)


def test_the_loudness_does_not_depend_on_the_chunks():
    wave = np.random.default_rng(1).normal(0, 0.1, 3 * RATE).astype(np.float32)
    assert loudness(wave, chunk=97).lufs == pytest.approx(loudness(wave, chunk=50_000).lufs)


def test_a_single_short_word_is_measured_too():
    assert loudness(sine(seconds=0.2)).lufs == pytest.approx(-3.01, abs=0.3)
    assert loudness(silence(1.0, RATE)).lufs == -np.inf


def test_the_gain_makes_two_voices_equally_loud_within_bounds():
    quiet, loud = sine(amplitude=0.1), sine(amplitude=0.3)
    factor = gain(loudness(quiet), loudness(loud))
    assert loudness(amplify(quiet, factor)).lufs == pytest.approx(loudness(loud).lufs, abs=0.05)
    assert gain(loudness(sine(amplitude=0.001)), loudness(loud)) == pytest.approx(10 ** (12 / 20))
    assert gain(loudness(silence(1, RATE)), loudness(loud)) == 1.0


def test_an_amplified_voice_never_clips_and_keeps_its_shape_below_the_knee():
    wave = np.concatenate([sine(amplitude=0.2), sine(amplitude=0.99)])
    louder = amplify(wave, 3.9)
    assert np.abs(louder).max() < 1.0
    assert np.allclose(louder[:RATE], 3.9 * wave[:RATE], atol=1e-6)
    assert np.array_equal(np.sign(louder), np.sign(wave))
    assert amplify(wave, 1.0) is wave


@pytest.mark.parametrize("chunk", [1, 7, 119, 120, 121, 5000, 24_000])
def test_edges_are_faded_and_the_length_is_kept(chunk):
    wave = np.full(RATE, 0.5, dtype=np.float32)
    edges = Edges(RATE, fade_in=True, fade_out=True)
    parts = [edges.feed(wave[start : start + chunk]) for start in range(0, len(wave), chunk)]
    joined = np.concatenate([*parts, edges.finish()])
    assert len(joined) == RATE
    assert np.abs(np.diff(np.concatenate([[0], joined, [0]]))).max() < 0.02
    inside = slice(round(FADE * RATE), -round(FADE * RATE))
    assert np.array_equal(joined[inside], wave[inside])
    assert wave[0] == 0.5  # the input is not modified


@pytest.mark.parametrize("length", [0, 1, 50, 130])
def test_a_piece_shorter_than_its_fades_keeps_its_length(length):
    edges = Edges(RATE, fade_in=True, fade_out=True)
    joined = np.concatenate([edges.feed(np.ones(length, dtype=np.float32)), edges.finish()])
    assert len(joined) == length
    assert np.abs(np.diff(np.concatenate([[0], joined, [0]]))).max(initial=0) < 0.6


def test_outer_ends_are_left_alone():
    wave = np.full(1000, 0.5, dtype=np.float32)
    edges = Edges(RATE, fade_in=False, fade_out=False)
    assert np.array_equal(edges.feed(wave), wave)
    assert len(edges.finish()) == 0
