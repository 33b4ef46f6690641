"""The verdict: each bound, on takes whose measures are known."""

import numpy as np
import pytest

from hub.verify.judge import Recital, judge
from hub.verify.sentences import SENTENCES
from hub.verify.takes import Spoken, Take, measure
from hub.verify.verdict import Bounds, report_on

LOOSE = Bounds(max_rtf=0.5, max_first_sound=1.0, max_memory=1024**3)


def take(**fields):
    good = {"units": 10, "spoken": 11 / 4.6, "seconds": 3.0, "work": 1.0, "first_sound": 0.5, "similarity": 0.9}
    return Take(**{"language": "en", "text": "...", "beats": 11, **good, **fields})


def report(*takes, bounds=LOOSE, peak_memory=1024**2):
    facts = {"model": "m", "voice": "v", "compared_with": "each other", "load": 1.0, "peak_memory": peak_memory}
    return report_on(takes, bounds, **facts)


def test_good_takes_pass():
    found = report(take(), take(errors=1))
    assert (found.passed, found.failures) == (True, [])
    [english] = found.languages
    assert english.error_rate == 0.05
    assert english.pace == pytest.approx(1)
    assert found.rtf == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"errors": 3}, "15% of the words were heard wrongly, above 10%"),
        ({"missing": 1}, "1 of 2 sentences lost their end"),
        ({"cut_off": True}, "1 of 2 sentences lost their end"),
        ({"spoken": 8.0}, "outside 0.65 to 1.6"),
        ({"similarity": 0.2}, "0.20 is below 0.3"),
        ({"work": 3.0}, "real-time factor 0.67 is above 0.5"),
        ({"first_sound": 2.0}, "later than 1 s"),
        ({"error": "backend_failed: broken", "errors": 0}, "en: backend_failed: broken"),
    ],
)
def test_each_bound_is_judged(fields, words):
    found = report(take(), take(**fields))
    assert not found.passed
    assert [failure for failure in found.failures if words in failure], found.failures


@pytest.mark.parametrize(("memory", "words"), [(2 * 1024**3, "2048 MiB, more than 1024 MiB"), (None, "not known")])
def test_memory_is_judged_if_it_is_asked_for(memory, words):
    assert words in report(take(), peak_memory=memory).failures[0]
    assert report(take(), bounds=Bounds(), peak_memory=memory).passed


def test_one_wrong_character_at_the_end_is_no_lost_end():
    assert not take(language="zh", missing=1).lost_its_end
    assert take(language="zh", missing=2).lost_its_end


def test_the_first_sound_is_the_first_chunk_that_is_not_silent():
    rate, sentence = 1000, SENTENCES["en"][0]
    wave = np.concatenate([np.zeros(2000), np.sin(np.arange(1000) / 3) * 0.5]).astype(np.float32)
    arrivals = [(0.1, 0), (0.2, 1000), (0.3, 2000), (0.4, 2500), (0.9, 3000)]
    found = measure(Spoken(sentence=sentence, samples=wave, sample_rate=rate, arrivals=arrivals), sentence.text)
    assert (found.first_sound, found.work, found.errors) == (0.4, 0.9, 0)


def test_a_sentence_without_audio_is_all_wrong_and_nobody_listens_to_it():
    sentences = SENTENCES["en"][:2]
    recital = Recital(
        model="m", voice="", one_voice=True, spoken=[Spoken(sentence=one, error="x: broken") for one in sentences]
    )
    found = judge(recital, None, Bounds())
    assert found.languages[0].error_rate == 1
    assert "en: x: broken" in found.failures
    assert (found.rtf, found.first_sound, found.languages[0].pace) == (None, None, None)


def test_voices_that_may_differ_are_not_compared():
    sentence = SENTENCES["en"][0]
    wave = np.sin(np.arange(24_000) / 20).astype(np.float32)
    spoken = [Spoken(sentence=sentence, samples=wave, sample_rate=24_000, arrivals=[(1.0, 24_000)])] * 2
    recital = Recital(model="m", voice="", one_voice=False, spoken=spoken)
    found = judge(recital, lambda *_: sentence.text, Bounds())
    assert found.compared_with == "nothing"
    assert [one.similarity for one in found.takes] == [None, None]
