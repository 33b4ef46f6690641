"""Dialogues, pauses and pronunciations, spoken by real workers."""

import asyncio
import types

import numpy as np
import pytest
from msgspec.structs import replace

from hub import hookimpl
from hub.contract import AudioChunk, Done, Mark, ResolvedRequest, Scene, SpeechRequest, Turn
from hub.contract.errors import BackendCrashed, BackendFailed, InvalidRequest, UnsupportedCapability
from hub.service.library.dictionaries import Dictionary
from hub.service.speech.script import GAP
from hub.testing import tone

pytestmark = pytest.mark.anyio

RATE = tone.SAMPLE_RATE
ONE = {"options": {"concurrency": 1}}


class Heard:
    """An answer: its events, samples and marks, and the runs of sound between exact silences."""

    def __init__(self, events):
        self.events = events
        self.chunks = [event for event in events if isinstance(event, AudioChunk)]
        self.marks = [event for event in events if isinstance(event, Mark)]
        self.samples = np.concatenate([np.frombuffer(chunk.pcm, "<f4") for chunk in self.chunks])
        self.runs, self.silences = [], []
        quiet = self.samples == 0
        edges = np.flatnonzero(np.diff(quiet.astype(int))) + 1
        for part in np.split(np.arange(len(self.samples)), edges):
            (self.silences if quiet[part[0]] else self.runs).append(self.samples[part])

    @property
    def texts(self):
        return [tone.decode(run, RATE) for run in self.runs]

    @property
    def pitches(self):
        return [tone.pitch_of(run, RATE) for run in self.runs]

    def kind(self, kind):
        return [mark for mark in self.marks if mark.kind == kind]


async def hear(hub, request=None, **fields):
    speech = await hub.speak(request or SpeechRequest(**fields))
    heard = Heard([event async for event in speech])
    assert isinstance(heard.events[-1], Done)
    return heard


def turns(*lines):
    return tuple(Turn(speaker=speaker or None, text=text) for speaker, text in (line.split(": ", 1) for line in lines))


async def test_each_turn_is_spoken_with_its_own_voice_with_exact_gaps_between(hubs):
    hub = await hubs(model=ONE)
    heard = await hear(
        hub,
        turns=(
            Turn(speaker="A", voice="low", text="Good morning."),
            Turn(speaker="B", voice="high", text="And a fine one."),
            Turn(speaker="A", text="It is, it is."),
        ),
        gap=0.25,
    )
    assert heard.texts == ["Good morning.", "And a fine one.", "It is, it is."]
    assert heard.pitches == [110, 220, 110]
    assert [len(silence) for silence in heard.silences] == [6000, 6000]


async def test_nothing_clicks_where_turns_are_joined(hubs):
    hub = await hubs()
    for gap in (0.0, 0.1):
        heard = await hear(hub, turns=turns("A: loud and", "B: clear and", "C: loud"), gap=gap)
        starts = np.cumsum([len(tone_of(text)) for text in ("loud and", "clear and")])
        jumps = np.abs(np.diff(heard.samples))
        joins = [start + index * round(gap * RATE) for index, start in enumerate(starts)]
        at_joins = max(jumps[join - 30 : join + 30 + round(gap * RATE)].max() for join in joins)
        plain = tone_of("loud and clear")
        assert at_joins < np.abs(np.diff(plain)).max()
        assert np.abs(heard.samples[joins[0] - 1]) < 1e-3


def tone_of(text):
    return np.concatenate([np.frombuffer(chunk.pcm, "<f4") for chunk in _tone(text)])


def _tone(text):
    class Never:
        def is_set(self):
            return False

    return list(tone.Tone().speak(ResolvedRequest(text=text, seed=1), Never()))


async def test_turns_without_a_gap_follow_each_other_to_the_sample(hubs):
    hub = await hubs()
    heard = await hear(hub, turns=turns("A: one", "B: two"), gap=0)
    assert len(heard.samples) == len(tone_of("one")) + len(tone_of("two"))


async def test_the_default_gap(hubs):
    hub = await hubs()
    heard = await hear(hub, turns=turns("A: one", "B: two"))
    assert [len(silence) for silence in heard.silences] == [round(GAP * RATE)]


async def test_speakers_without_a_voice_get_presets_that_nobody_else_has(hubs):
    hub = await hubs()
    script = turns("A: first", "B: second", "C: third", "A: fourth")
    assert (await hear(hub, turns=script)).pitches == [165, 110, 220, 165]  # the default first, the others in order
    with_voice = (replace(script[0], voice="low"), *script[1:])
    assert (await hear(hub, turns=with_voice)).pitches == [110, 165, 220, 110]
    assert (await hear(hub, turns=script, voice="high")).pitches == [220, 165, 110, 220]
    with pytest.raises(InvalidRequest, match="no preset left for 'D'"):
        await hub.speak(SpeechRequest(turns=(*script, Turn(speaker="D", text="fifth"))))
    assert (await hear(hub, turns=(Turn(text="one"), Turn(text="two")))).pitches == [
        165,
        165,
    ]  # turns without a speaker


async def test_a_scene_casts_the_speakers_and_sets_what_the_request_leaves_open(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path))
    hub.scenes.put(Scene(id="chat", cast={"A": "high", "B": "low"}, defaults={"gap": 0.5, "speed": 2.0}))
    heard = await hear(hub, turns=turns("A: hello there", "B: hello yourself"), scene="chat")
    assert heard.pitches == [220, 110]
    assert [len(silence) for silence in heard.silences] == [12_000]
    assert len(heard.runs[0]) < len(tone_of("hello there"))
    own = (Turn(speaker="A", voice="mid", text="hello there"), *turns("B: hello yourself"))
    heard = await hear(hub, turns=own, scene="chat", gap=0.1)
    assert heard.pitches == [165, 110]
    assert [len(silence) for silence in heard.silences] == [2400]
    hub.scenes.put(Scene(id="quiet", text="A quiet room."))
    with pytest.raises(UnsupportedCapability, match="scene"):
        await hub.speak(SpeechRequest(text="hello", scene="quiet"))


async def test_turns_have_marks_with_their_time_place_and_speaker(hubs):
    hub = await hubs()
    heard = await hear(hub, turns=turns("Ann: Hello, you.", "Bob: Hi. Hi again."), gap=0.5, options={"marks": True})
    source = "Hello, you.\nHi. Hi again."
    first, second = heard.kind("segment")
    assert [(mark.speaker, mark.text, mark.span) for mark in (first, second)] == [
        ("Ann", "Hello, you.", (0, 11)),
        ("Bob", "Hi. Hi again.", (12, 25)),
    ]
    assert first.start == 0
    assert first.end == pytest.approx(len(heard.runs[0]) / RATE)
    assert second.start == pytest.approx(first.end + 0.5)
    assert second.end == pytest.approx(len(heard.samples) / RATE)
    assert [(mark.text, mark.speaker) for mark in heard.kind("sentence")] == [
        ("Hello, you.", "Ann"),
        ("Hi.", "Bob"),
        ("Hi again.", "Bob"),
    ]
    words = heard.kind("word")
    assert [mark.text for mark in words] == source.split()
    assert all(source[slice(*mark.span)] == mark.text for mark in words)
    for mark in words:  # the audio between the times is that word
        word = heard.samples[round(mark.start * RATE) : round(mark.end * RATE)]
        assert len(word) == len(mark.text) * tone.SYMBOL
    assert second.start < words[2].start < words[-1].end <= second.end + 1e-6
    spoken = "".join(source[slice(*chunk.span)] for chunk in heard.chunks if chunk.span and len(chunk.pcm) > 600)
    assert spoken.replace(" ", "") == source.replace("\n", "").replace(" ", "")


async def test_a_seed_repeats_a_dialogue_and_each_turn_has_its_own(hubs):
    hub = await hubs()
    script = turns("A: the same", "A: the same")
    first, second = (await hear(hub, turns=script, seed=7), await hear(hub, turns=script, seed=7))
    assert np.array_equal(first.samples, second.samples)
    assert not np.array_equal(first.runs[0][200:-200], first.runs[1][200:-200])
    alone = await hear(hub, text="the same", seed=7)
    assert np.array_equal(alone.samples[:-200], first.runs[0][: len(alone.samples) - 200])


async def test_the_first_turn_is_heard_while_the_second_is_synthesized(hubs):
    hub = await hubs(model=ONE)
    slow = {"paced": True, "lead_ms": 0}
    speech = await hub.speak(SpeechRequest(turns=turns("A: soon", "B: " + 3000 * "late"), options=slow))
    assert isinstance(await anext(speech), AudioChunk)  # of an answer that takes eight minutes
    await speech.aclose()


async def test_the_second_turn_is_synthesized_before_the_first_is_read(hubs):
    hub = await hubs(model=ONE)
    engine = hub.models.get("tone").engine
    speech = await hub.speak(SpeechRequest(turns=turns("A: short", "B: longer than that"), options={"crash_at": 4}))
    async with asyncio.timeout(20):
        while not engine.status.crashes:  # which happens in the second turn
            await asyncio.sleep(0.01)
    events = []
    with pytest.raises(BackendCrashed):
        async for event in speech:
            events.append(event)
    assert Heard(events).texts[0] == "short"


async def test_one_place_in_the_lane_is_held_for_the_whole_script_and_then_given_back(hubs):
    hub = await hubs(model=ONE)
    lane = hub.models.get("tone").lane
    speech = await hub.speak(SpeechRequest(turns=turns("A: one", "B: two", "A: three")))
    after = asyncio.create_task(hub.speak(SpeechRequest(text="somebody else")))
    seen = set()
    async for _ in speech:
        seen.add(lane.running)
    assert seen <= {0, 1}  # 0 once the model has finished and the rest is only read
    assert tone.decode(Heard([event async for event in await after]).samples, RATE) == "somebody else"
    assert lane.running == 0


async def test_leaving_in_the_middle_of_the_second_turn_frees_the_model(hubs):
    hub = await hubs(model=ONE)
    endless = {"paced": True, "lead_ms": 0, "chunk_ms": 50}
    speech = await hub.speak(SpeechRequest(turns=turns("A: one", "B: " + 500 * "two "), gap=0, options=endless))
    seconds = 0.0
    async for event in speech:
        seconds += event.seconds if isinstance(event, AudioChunk) else 0.0
        if seconds > len(tone_of("one")) / RATE + 0.2:
            break
    await speech.aclose()
    assert (await hear(hub, text="next")).texts == ["next"]
    assert hub.models.get("tone").lane.running == 0


async def test_a_fault_in_the_second_turn_is_the_end_of_all(hubs):
    hub = await hubs(model=ONE)
    events = []
    speech = await hub.speak(
        SpeechRequest(turns=turns("A: one", "B: a much longer turn", "A: never"), options={"fail_at": 4})
    )
    with pytest.raises(BackendFailed):
        async for event in speech:
            events.append(event)
    heard = Heard(events)
    assert heard.texts[0] == "one"
    assert [mark.text for mark in heard.kind("segment")] == ["one"]
    assert (await hear(hub, text="next")).texts == ["next"]


async def test_a_fault_in_the_first_turn_is_an_error_before_any_audio(hubs):
    hub = await hubs()
    with pytest.raises(BackendFailed):
        await hub.speak(SpeechRequest(turns=turns("A: one", "B: two"), options={"fail_at": 0}))


# -- models that speak dialogues ----------------------------------------------------------------


async def test_a_model_of_dialogues_gets_the_whole_script_and_its_cast(hubs):
    hub = await hubs(model={"options": {"dialogue": True}})
    script = (Turn(speaker="A", voice="low", text="hello you"), Turn(speaker="B", voice="high", text="hello there"))
    heard = await hear(hub, turns=script)
    (run,) = heard.runs
    first = len(tone_of("hello you"))
    assert [tone.decode(part, RATE) for part in (run[:first], run[first:])] == ["hello you", "hello there"]
    assert [tone.pitch_of(part, RATE) for part in (run[:first], run[first:])] == [110, 220]
    assert heard.chunks[-1].span[1] == len("hello you\nhello there")
    with pytest.raises(UnsupportedCapability, match="leave `gap` out"):
        await hub.speak(SpeechRequest(turns=script, gap=1.0))


async def test_a_pause_parts_the_script_of_a_model_of_dialogues(hubs):
    hub = await hubs(model={"options": {"dialogue": True}})
    script = (
        Turn(speaker="A", voice="low", text="one [pause:500ms] two"),
        Turn(speaker="B", voice="high", text="three"),
    )
    heard = await hear(hub, turns=script, options={"marks": True})
    assert [len(silence) for silence in heard.silences] == [12_000]
    assert tone.decode(heard.runs[0], RATE) == "one"
    first = len(tone_of("two"))
    assert tone.decode(heard.runs[1][:first], RATE) == "two"
    assert tone.decode(heard.runs[1][first:], RATE) == "three"
    source = "one [pause:500ms] two\nthree"
    assert [(mark.text, mark.speaker) for mark in heard.kind("word")] == [("one", "A"), ("two", "A"), ("three", "B")]
    assert all(source[slice(*mark.span)] == mark.text for mark in heard.kind("word"))


# -- pauses -------------------------------------------------------------------------------------


async def test_pauses_are_exact_silence_and_never_read(hubs):
    hub = await hubs()
    heard = await hear(hub, text="[pause:250ms]One.[pause:1.5s] Two[pause:10ms] three. [pause:2s]")
    assert heard.texts == ["One.", "Two", "three."]
    assert [len(silence) for silence in heard.silences] == [6000, 36_000, 240, 48_000]
    assert [(mark.text, mark.start) for mark in heard.kind("segment")] == [
        ("One.", pytest.approx(0.25)),
        ("Two", pytest.approx((6000 + 36_000 + len(heard.runs[0])) / RATE)),
        ("three.", pytest.approx((6000 + 36_000 + 240 + len(heard.runs[0]) + len(heard.runs[1])) / RATE)),
    ]


async def test_what_has_nothing_to_say_between_pauses_is_left_out(hubs):
    hub = await hubs()
    heard = await hear(hub, text="Well [pause:1s] ... [pause:1s] yes")
    assert heard.texts == ["Well", "yes"]
    assert [len(silence) for silence in heard.silences] == [48_000]


async def test_all_the_silence_of_a_request_has_a_limit(hubs):
    hub = await hubs()
    with pytest.raises(InvalidRequest, match="the limit is 3600"):
        await hub.speak(SpeechRequest(text="a" + 121 * "[pause:30s]"))


# -- pronunciations -----------------------------------------------------------------------------


async def test_pronunciations_change_what_is_spoken_and_nothing_that_is_shown(hubs):
    hub = await hubs()
    text = "The TTS hub says SQL, twice."
    heard = await hear(hub, text=text, pronunciations={"tts": "tea tea ess", "SQL": "sequel"}, options={"marks": True})
    assert heard.texts == ["The tea tea ess hub says sequel, twice."]
    assert [mark.text for mark in heard.kind("word")] == text.split()
    assert [mark.text for mark in heard.kind("sentence")] == [text]
    assert all(text[slice(*mark.span)] == mark.text for mark in heard.marks)
    assert heard.kind("word")[1].end - heard.kind("word")[1].start == pytest.approx(11 * tone.SYMBOL / RATE)
    assert heard.chunks[-1].span[1] == len(text)
    assert max(chunk.span[1] for chunk in heard.chunks) == len(text)


async def test_a_stored_dictionary_and_the_request_over_it(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path))
    hub.dictionaries.put(Dictionary(id="names", entries={"nguyen": "win", "siobhan": "shivawn"}))
    heard = await hear(hub, text="Nguyen and Siobhan", dictionary="names", pronunciations={"nguyen": "nwin"})
    assert heard.texts == ["nwin and shivawn"]
    by_hand = '{"entries": {"siobhan": "she"}}'
    await asyncio.to_thread((tmp_path / "dictionaries" / "names.json").write_text, by_hand)
    assert (await hear(hub, text="Siobhan", dictionary="names")).texts == ["she"]


async def test_phonemes_are_for_models_that_read_them(hubs):
    words = {"tomato": "/t@mA:toU/"}
    hub = await hubs()
    with pytest.raises(UnsupportedCapability, match="phonemes"):
        await hub.speak(SpeechRequest(text="a tomato", pronunciations=words))
    hub = await hubs(model={"options": {"phonemes": True}})
    assert (await hear(hub, text="a tomato", pronunciations=words)).texts == ["a /t@mA:toU/"]


async def test_filters_come_before_pronunciations_and_keep_the_way_back(hubs):
    class Numbers:
        order = 0

        def filter(self, text, request):
            assert "pause" not in text
            return text.replace("3", "three")

    plugin = types.ModuleType("numbers_plugin")
    plugin.register_text_filters = hookimpl(lambda: [Numbers()])
    hub = await hubs(plugins=[plugin])
    text = "I have 3 cats.[pause:1s] And 3 dogs."
    heard = await hear(hub, text=text, pronunciations={"three": "free"}, options={"marks": True})
    assert heard.texts == ["I have free cats.", "And free dogs."]
    assert [mark.text for mark in heard.kind("word")] == ["I", "have", "3", "cats.", "And", "3", "dogs."]
    assert all(text[slice(*mark.span)] == mark.text for mark in heard.kind("word"))


async def test_an_ordinary_request_goes_straight_to_the_engine(hubs):
    hub = await hubs()
    speech = await hub.speak(SpeechRequest(text="hello there", pronunciations={"absent": "gone"}))
    assert type(speech._stream).__name__ == "EventStream"
    await speech.aclose()
