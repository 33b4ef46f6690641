"""Chain, with the test as its engine."""

import asyncio

import numpy as np
import pytest

from hub.audio.join import Loudness
from hub.contract import AudioChunk, Done, Fault, Mark, ResolvedRequest, SpeechRequest, Turn
from hub.contract.backend import Capabilities, Loaded
from hub.contract.errors import BackendUnavailable, Cancelled
from hub.contract.speech import CastVoice
from hub.engine.stream import EventStream
from hub.service.speech.chain import Chain
from hub.service.speech.part import HEAD
from hub.service.speech.script import Silence, pieces, read
from hub.text.pronunciations import Pronunciations

pytestmark = pytest.mark.anyio

RATE = 16_000


def sound(seconds, amplitude=0.3, seed=0):
    return np.random.default_rng(seed).uniform(-amplitude, amplitude, round(seconds * RATE)).astype(np.float32)


class Desk:
    """An engine that the test controls."""

    def __init__(self):
        self.begun = []
        self.cancelled = []
        self.broken = False

    def begin(self, request):
        if self.broken:
            raise BackendUnavailable("not loaded")
        stream = EventStream(lambda seconds: None, lambda: self.cancelled.append(request.text))
        self.begun.append((request, stream))
        return stream

    @property
    def texts(self):
        return [request.text for request, _ in self.begun]

    def say(self, samples, span=None):
        for start in range(0, len(samples), RATE // 10):
            self.begun[-1][1].put(AudioChunk.of(samples[start : start + RATE // 10], RATE, span))

    def end(self, event=None):
        self.begun[-1][1].put(event or Done())


def chain(desk, *turns, **fields):
    """Return a Chain of turns "A: text"; each speaker has the voice of that name."""
    turns = tuple(Turn(speaker=line[0], text=line[3:]) for line in turns)
    cast = {turn.speaker: CastVoice(voice=turn.speaker) for turn in turns}
    request = ResolvedRequest(turns=turns, cast=cast, gap=fields.pop("gap", 0.0))
    script = read(request, [], Pronunciations({}), 1000)
    return Chain(
        script,
        pieces(script, request, "m", Loaded(contract=1, capabilities=Capabilities())),
        desk.begin,
        model="m",
        **fields,
    )


async def ready(stream):
    """Return the events that are ready without further work of the engine."""
    events = []
    try:
        while not (events and isinstance(events[-1], Done | Fault)):
            events.append(await asyncio.wait_for(anext(stream), 0.05))
    except TimeoutError:
        pass
    return events


def audio(events):
    parts = [np.frombuffer(event.pcm, "<f4") for event in events if isinstance(event, AudioChunk)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def lufs(samples):
    meter = Loudness(RATE)
    meter.feed(samples)
    meter.pause()
    return meter.lufs


async def test_voices_are_matched_to_the_first_and_it_is_left_as_it_is():
    desk = Desk()
    stream = chain(desk, "A: loud", "B: faint", "A: loud", "B: faint")
    parts = []
    for amplitude in (0.5, 0.15, 0.4, 0.15):
        desk.say(wave := sound(3.0, amplitude))
        desk.end()
        parts.append(wave)
    joined = audio(await ready(stream))
    assert len(joined) == 4 * 3 * RATE
    heard = np.split(joined, 4)
    edge = slice(200, -200)
    assert np.array_equal(heard[0][edge], parts[0][edge])
    assert np.array_equal(heard[2][edge], parts[2][edge])
    assert lufs(heard[1]) == pytest.approx(lufs(parts[0]), abs=0.2)
    assert np.abs(joined).max() < 1.0


async def test_only_a_new_voice_is_held_back_until_it_is_known_how_loud_it_is():
    desk = Desk()
    stream = chain(desk, "A: one", "B: two", "B: three")
    desk.say(sound(1.0))
    assert len(audio(await ready(stream))) > 0.9 * RATE
    desk.end()
    await ready(stream)
    desk.say(sound(HEAD - 0.5))
    assert len(audio(await ready(stream))) == 0
    desk.say(sound(0.6))
    assert len(audio(await ready(stream))) > HEAD * RATE
    desk.end()
    await ready(stream)
    desk.say(sound(0.2))
    assert len(audio(await ready(stream))) > 0.1 * RATE
    stream.close()


async def test_the_next_piece_is_begun_when_the_engine_is_free_and_not_too_far_ahead():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two", "A: three", ahead=1.5)
    assert desk.texts == ["one"]
    desk.say(sound(1.0))
    assert desk.texts == ["one"]
    desk.end()
    assert desk.texts == ["one", "two"]
    desk.say(sound(1.0))
    desk.end()
    assert desk.texts == ["one", "two"]  # two seconds are waiting to be read
    assert not stream.ended.is_set()
    for _ in range(8):
        await anext(stream)
    assert desk.texts == ["one", "two", "three"]
    desk.say(sound(1.0))
    desk.end()
    assert stream.ended.is_set()
    assert len(audio(await ready(stream))) > 2 * RATE


async def test_reading_one_piece_keeps_the_next_from_looking_abandoned():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two")
    desk.say(sound(1.0))
    desk.end()
    desk.say(sound(1.0))
    waiting = desk.begun[1][1]
    waiting.last_read = 0.0
    await anext(stream)
    assert waiting.last_read > 0.0
    stream.close()


async def test_a_reader_who_has_gone_does_not_hold_the_place_of_what_is_not_begun():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two", ahead=0.5, stall_timeout=0.2)
    desk.say(sound(1.0))
    desk.end()
    assert desk.texts == ["one"]
    await asyncio.wait_for(stream.ended.wait(), 10)
    assert "read nothing" in (await anext(stream)).message


async def test_closing_stops_every_piece_and_the_engine_is_free_when_it_says_so():
    desk = Desk()
    ends = []
    stream = chain(desk, "A: one", "A: two", "A: three")
    stream.when_ended(lambda: ends.append("end"))
    desk.say(sound(1.0))
    desk.end()
    desk.say(sound(1.0))
    stream.close()
    assert desk.cancelled == ["two"]
    assert not stream.ended.is_set()
    desk.end(Cancelled("the caller left").to_fault())
    assert stream.ended.is_set()
    assert ends == ["end"]
    assert desk.texts == ["one", "two"]
    (event,) = await ready(stream)
    assert event.code == "cancelled"
    stream.close()


async def test_a_waiting_reader_gets_the_fault_when_the_chain_is_closed():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two")
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.close()
    assert (await reader).code == "cancelled"


async def test_a_piece_that_cannot_be_begun_ends_the_chain_after_what_was_spoken():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two")
    desk.say(sound(1.0))
    desk.broken = True
    desk.end()
    assert stream.ended.is_set()
    events = await ready(stream)
    assert len(audio(events)) == RATE
    assert events[-1].code == "backend_unavailable"


@pytest.mark.parametrize("wave", [sound(0.0), sound(0.01), np.zeros(RATE, dtype=np.float32)])
async def test_a_turn_without_audio_is_a_fault_not_a_hole(wave):
    desk = Desk()
    stream = chain(desk, "A: one", "A: two", "A: three")
    desk.say(sound(1.0))
    desk.end()
    desk.say(wave)
    desk.end()
    desk.end(Cancelled("stopped").to_fault())
    events = await ready(stream)
    assert events[-1].code == "empty_audio"
    assert stream.ended.is_set()


async def test_reports_of_the_pieces_are_in_the_ending():
    desk = Desk()
    stream = chain(desk, "A: one", "A: two")
    desk.say(sound(1.0))
    desk.end(Done({"retries": 1}))
    desk.say(sound(1.0))
    desk.end()
    assert (await ready(stream))[-1] == Done({"pieces": [{"retries": 1}, {}]})


async def test_marks_of_the_model_are_kept_and_moved_and_sentences_are_not_made_twice():
    desk = Desk()
    stream = chain(desk, "A: One. Two.", "B: Three.", gap=0.5)
    desk.say(sound(1.0), (0, 4))
    desk.begun[-1][1].put(Mark("sentence", 0.0, 1.0, "One.", (0, 4)))
    desk.say(sound(1.0), (5, 9))
    desk.begun[-1][1].put(Mark("sentence", 1.0, 2.0, "Two.", (5, 9)))
    desk.end()
    desk.say(sound(1.0), (0, 6))
    desk.end()
    marks = [event for event in await ready(stream) if isinstance(event, Mark) and event.kind == "sentence"]
    assert marks == [
        Mark("sentence", 0.0, 1.0, "One.", (0, 4), speaker="A"),
        Mark("sentence", 1.0, 2.0, "Two.", (5, 9), speaker="A"),
        Mark("sentence", 2.5, 3.5, "Three.", (10, 16), speaker="B"),
    ]


def test_a_script_counts_places_in_the_cleaned_text_of_all_turns():
    request = SpeechRequest(turns=(Turn(text="a\u200bb [pause:1s] c"), Turn(text="\ufeffd")))
    script = read(request, [], Pronunciations({}), 1000)
    assert script.source == "ab [pause:1s] c\nd"
    spoken = [line if isinstance(line, Silence) else (line.text, line.start, line.end) for line in script.lines]
    assert spoken == [("ab", 0, 2), Silence(1.0), ("c", 14, 15), ("d", 16, 17)]
