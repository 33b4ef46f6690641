"""Hub.speak_live with real workers: its lead, its reports, and its end."""

import asyncio
import itertools

import numpy as np
import pytest

from hub.contract import AudioChunk, Done, Mark, SpeechRequest
from hub.contract.errors import DeadlineExceeded, EmptyText, UnspeakableText
from hub.service.speech.live import AHEAD
from hub.testing import tone
from hub.text.live_text import LiveText

pytestmark = pytest.mark.anyio

LIVE = {"options": {"live_text": True}}


class Witness:
    """A text filter that only records the texts to be spoken."""

    def __init__(self):
        self.texts = []

    def filter(self, text, request):
        self.texts.append(text)
        return text


class Reports:
    def __init__(self):
        self.ended = []

    def speech_ended(self, report):
        self.ended.append(report)

    def worker_crashed(self, model, reason):
        pass


def written(*pieces, end=True):
    text = LiveText(1000)
    for piece in pieces:
        text.write(piece)
    if end:
        text.end()
    return text


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def read(speech):
    return [event async for event in speech]


async def test_no_more_than_a_sentence_is_spoken_ahead_of_the_one_that_is_read(hubs):
    hub = await hubs()
    witness = Witness()
    hub.text_filters.append(witness)
    sentences = [f"This is sentence {number}." for number in "abcdef"]
    speech = await hub.speak_live(SpeechRequest(), written(" ".join(sentences)))
    lane = hub.models.get("tone").lane
    await until(lambda: len(witness.texts) == AHEAD and not lane.running)
    for _ in range(20):
        await asyncio.sleep(0)
    assert witness.texts == sentences[:AHEAD]
    async for event in speech:
        if isinstance(event, AudioChunk) and event.span[0] >= len(sentences[0]):
            break  # the second sentence is being read
    await until(lambda: len(witness.texts) == AHEAD + 1)
    await speech.aclose()
    assert witness.texts == sentences[: AHEAD + 1]
    await until(lambda: not lane.running)


async def test_each_sentence_is_reported_and_spans_count_in_the_whole_text(hubs):
    hub = await hubs()
    reports = Reports()
    hub.observers.append(reports)
    text = "One is here. Zwölf sind größer. \u200bThree."
    speech = await hub.speak_live(SpeechRequest(voice="low"), written(*text), request_id="r")
    assert (speech.model, speech.voice, speech.sample_rate, speech.request_id) == ("tone", "low", 24_000, "r")
    events = await read(speech)
    assert [report.request_id for report in reports.ended] == ["r.1", "r.2", "r.3"]
    assert {report.outcome for report in reports.ended} == {"ok"}
    marks = [event for event in events if isinstance(event, Mark)]
    assert [text[slice(*mark.span)] for mark in marks] == ["One is here.", "Zwölf sind größer.", "\u200bThree."]
    assert all(a.end == b.start for a, b in itertools.pairwise(marks))
    assert events[-1] == Done({"sentences": 3})


async def test_a_model_with_live_text_makes_one_report_of_all_characters(hubs):
    hub = await hubs(model=LIVE)
    reports = Reports()
    hub.observers.append(reports)
    text = written("Hello", end=False)
    speech = await hub.speak_live(SpeechRequest(), text, request_id="r")
    await asyncio.sleep(0.05)  # by now a player has run out of audio, because there is no text
    text.write(" there.")
    text.end()
    events = await read(speech)
    samples = np.concatenate([np.frombuffer(event.pcm, "<f4") for event in events if isinstance(event, AudioChunk)])
    assert tone.decode(samples, 24_000) == "Hello there."
    (report,) = reports.ended
    assert (report.request_id, report.chars, report.outcome, report.underruns) == ("r", 12, "ok", 0)


async def test_texts_that_are_rewritten_are_spoken_by_sentences_even_by_a_live_model(hubs):
    hub = await hubs(model=LIVE)
    hub.text_filters.append(Witness())
    events = await read(await hub.speak_live(SpeechRequest(), written("One. Tw", "o.")))
    assert events[-1].report == {"sentences": 2}


@pytest.mark.parametrize("model", [{}, LIVE])
@pytest.mark.parametrize(("pieces", "error"), [([], EmptyText), ([""], EmptyText), (["?", "!"], UnspeakableText)])
async def test_nothing_to_say_never_reaches_the_model(hubs, model, pieces, error):
    hub = await hubs(model=model)
    with pytest.raises(error):
        await hub.speak_live(SpeechRequest(), written(*pieces))
    assert not hub.models.get("tone").lane.running


async def test_the_deadline_of_live_text_counts_from_its_end(hubs):
    hub = await hubs(model={**LIVE, "deadline": 0.2})
    reports = Reports()
    hub.observers.append(reports)
    await hub.models.get("tone").start()
    text = written("Slow.", end=False)
    speaking = asyncio.create_task(hub.speak_live(SpeechRequest(options={"step_ms": 3_600_000}), text))
    done, _ = await asyncio.wait([speaking], timeout=0.5)
    assert not done
    text.end()
    with pytest.raises(DeadlineExceeded):
        await speaking
    assert [report.outcome for report in reports.ended] == ["deadline_exceeded"]


@pytest.mark.parametrize("model", [{}, LIVE])
async def test_who_gives_up_at_any_point_leaves_the_model_free(hubs, model):
    hub = await hubs(model=model)
    lane = hub.models.get("tone").lane
    slow = SpeechRequest(options={"step_ms": 20.0, "chunk_ms": 40})
    for patience in (0.0, 0.02, 0.06, 0.1):
        text = written("A sentence. Another sentence. And more", end=False)
        speaking = asyncio.create_task(hub.speak_live(slow, text))
        await asyncio.wait([speaking], timeout=patience)
        speaking.cancel()
        (speech,) = await asyncio.gather(speaking, return_exceptions=True)
        if not isinstance(speech, BaseException):
            await anext(speech)
            await speech.aclose()
        await until(lambda: not lane.running and not lane.waiting)
    left = [task for task in asyncio.all_tasks() if "hub.service.speech.live" in repr(task) or "live.py" in repr(task)]
    await until(lambda: all(task.done() for task in left))
