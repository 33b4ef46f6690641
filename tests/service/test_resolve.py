"""The names in requests: presets, stored voices, casts, scenes."""

import asyncio
import io

import msgspec
import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from hub.contract import AudioChunk, Capabilities, Reference, Scene, SpeechRequest, Turn
from hub.contract.errors import InvalidRequest, UnknownVoice, UnsupportedCapability
from hub.contract.speech import ResolvedRequest
from hub.service.library.prepared import model_identity, prepared_key
from hub.service.library.voice_folder import Facts
from hub.service.speech.cast import cast
from hub.service.speech.resolve import check_voices, resolve
from hub.service.speech.settle import settle
from hub.testing import tone

pytestmark = pytest.mark.anyio


def recording(seconds=1.0, pitch=300, rate=16_000):
    buffer = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    soundfile.write(buffer, wave.astype(np.float32), rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.fixture
async def hub(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path))
    for name, seconds in (("anna", 1.0), ("ben", 1.7)):
        reference = Reference(audio=recording(seconds), text=f"I am {name}", language="en")
        hub.voices.create(name, Facts(language="en"), (reference,))
    return hub


def plain(samples):
    return soundfile.read(io.BytesIO(samples), dtype="float32")[0].tolist()


async def resolved(hub, request, capabilities=None, scene=None):
    model = hub.models.get("tone")
    loaded = await model.start()
    if capabilities:
        loaded = msgspec.structs.replace(loaded, capabilities=capabilities)
    found = cast(settle(request, scene), model.name, loaded)
    await check_voices(hub.voices, found)
    return await resolve(hub.preparing, model, found)


async def test_a_stored_voice_speaks_as_its_recordings_do(hub):
    async def pitch(**fields):
        speech = await hub.speak(SpeechRequest(text="hello there", **fields))
        chunks = [event.pcm async for event in speech if isinstance(event, AudioChunk)]
        return tone.pitch_of(np.frombuffer(b"".join(chunks), "<f4"), tone.SAMPLE_RATE), speech.voice

    anna, name = await pitch(voice="anna")
    assert name == "anna"
    inline, _ = await pitch(references=(Reference(audio=recording(pitch=300)),))
    ben, _ = await pitch(voice="ben")
    low, _ = await pitch(voice="low")
    assert anna == inline
    assert len({anna, ben, low}) == 3
    assert low == tone.PITCHES["low"]


async def test_a_stored_voice_comes_with_its_references_and_prepared_state(hub):
    got = await resolved(hub, SpeechRequest(text="hi", voice="anna"))
    assert (got.voice, [one.text for one in got.references]) == (None, ["I am anna"])
    assert plain(got.references[0].audio) == plain(recording(pitch=300))
    assert int(got.prepared) in tone.CLONED_PITCHES


async def test_a_preset_is_taken_before_a_stored_voice_of_its_name(hub):
    hub.voices.create("low", Facts(), (Reference(audio=recording()),))
    got = await resolved(hub, SpeechRequest(text="hi", voice="low"))
    assert (got.voice, got.references) == ("low", ())


async def test_who_is_neither_is_unknown(hub):
    for voice in ("nobody", "../anna", "", "ANNA", ".lock"):
        with pytest.raises(UnknownVoice) as refusal:
            await hub.speak(SpeechRequest(text="hi", voice=voice))
        assert refusal.value.detail["voices"] == ["low", "mid", "high", "anna", "ben"]


@pytest.mark.parametrize(
    ("can", "words"),
    [
        (Capabilities(), "does not clone"),
        (Capabilities(cloning=True, min_reference=3), "too short: 1.0 s"),
        (Capabilities(cloning=True, max_reference=0.5), "too long: 1.0 s"),
        (Capabilities(cloning=True, languages=("ja", "zh")), "wrong language"),
    ],
)
async def test_a_model_that_cannot_use_a_voice_says_why(hub, can, words):
    with pytest.raises(UnsupportedCapability, match=words):
        await resolved(hub, SpeechRequest(text="hi", voice="anna"), can)


async def test_references_are_measured_against_the_model_too(hub):
    can = Capabilities(cloning=True, needs_transcript=True, min_reference=0.5)
    with pytest.raises(UnsupportedCapability, match="reference 2 has no transcript"):
        pair = Reference(audio=recording(), text="said"), Reference(audio=recording())
        await resolved(hub, SpeechRequest(text="hi", references=pair), can)
    with pytest.raises(UnsupportedCapability, match=r"reference 1 is too short: 0\.3 s"):
        short = Reference(audio=recording(0.3), text="said")
        await resolved(hub, SpeechRequest(text="hi", references=(short,)), can)


async def test_speakers_of_a_dialogue_get_their_voices(hub):
    turns = (
        Turn(text="one", speaker="A"),
        Turn(text="two", voice="low"),
        Turn(text="three", speaker="A", voice="anna"),
        Turn(text="four", speaker="B"),
        Turn(text="five", speaker="1"),
        Turn(text="six", voice="low"),
    )
    scene = Scene(id="s", cast={"B": "ben", "unused": "nobody"}, text="a room")
    can = msgspec.structs.replace(hub.models.get("tone").capabilities, scene=True)
    got = await resolved(hub, SpeechRequest(turns=turns, voice="high"), can, scene)
    assert [turn.speaker for turn in got.turns] == ["A", "2", "A", "B", "1", "2"]
    assert {tag: (cast.voice, len(cast.references), bool(cast.prepared)) for tag, cast in got.cast.items()} == {
        "A": (None, 1, True),
        "2": ("low", 0, False),
        "B": (None, 1, True),
        "1": ("high", 0, False),
    }
    assert (got.voice, got.references, got.scene_text) == (None, (), "a room")
    assert got.cast["B"].references[0].text == "I am ben"


async def test_one_speaker_cannot_have_two_voices(hub):
    turns = (Turn(text="one", speaker="A", voice="low"), Turn(text="two", speaker="A", voice="high"))
    with pytest.raises(InvalidRequest, match="two voices"):
        await resolved(hub, SpeechRequest(turns=turns))


def test_a_scene_says_what_the_request_does_not():
    defaults = {"speed": 1.5, "language": "de", "options": {"a": 1, "b": 2}, "voice": "low", "text": "never this"}
    scene = Scene(id="s", text="a room", defaults=defaults)
    got = settle(SpeechRequest(text="hi", language="en", options={"b": 3}), scene)
    assert isinstance(got, ResolvedRequest)
    assert (got.text, got.speed, got.language, got.options) == ("hi", 1.5, "en", {"a": 1, "b": 3})
    assert (got.voice, got.scene_text) == ("low", "a room")
    with pytest.raises(InvalidRequest, match="scene 'bad'"):
        settle(SpeechRequest(text="hi"), Scene(id="bad", defaults={"speed": 100}))


async def test_many_at_once_prepare_a_voice_once(hub, monkeypatch):
    model = hub.models.get("tone")
    await model.start()
    asked, call = [], model.engine.call

    async def counted(method, *args):
        asked.append(method)
        return await call(method, *args)

    monkeypatch.setattr(model.engine, "call", counted)
    states = await asyncio.gather(*(hub.preparing.prepared(model, "anna") for _ in range(5)))
    assert len(set(states)) == 1
    assert asked == ["make_voice"]
    await hub.preparing.prepared(model, "anna")
    assert asked == ["make_voice"]
    hub.voices.update("anna", texts={"00.wav": "I am somebody else"})
    await hub.preparing.prepared(model, "anna")
    assert asked == ["make_voice"] * 2


async def test_a_mixture_is_a_voice_between_voices_for_models_that_blend(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path), model={"options": {"mixing": True}})
    hub.voices.create("anna", Facts(), (Reference(audio=recording(), text="I am anna"),))

    async def pitch(**fields):
        speech = await hub.speak(SpeechRequest(**fields))
        chunks = [event.pcm async for event in speech if isinstance(event, AudioChunk)]
        return tone.pitch_of(np.frombuffer(b"".join(chunks), "<f4"), tone.SAMPLE_RATE)

    assert await pitch(text="hello there", voice="low(1)+high(1)") == 165
    assert await pitch(text="hello there", voice="low + high(3)") == 190
    anna = await pitch(text="hello there", voice="anna")
    between = await pitch(text="hello there", voice="anna+low")
    assert between == pytest.approx((anna + tone.PITCHES["low"]) / 2, abs=5)
    assert await pitch(turns=(Turn(text="hello there", voice="low+high"),)) == 165
    for wrong in ("low+", "+low", "low(x)+high", "low+low", "low(0)+high(0)", "+".join(["low"] * 9)):
        with pytest.raises(InvalidRequest, match="invalid mixture"):
            await hub.speak(SpeechRequest(text="hi", voice=wrong))
    with pytest.raises(UnknownVoice, match="nobody"):
        await hub.speak(SpeechRequest(text="hi", voice="low+nobody"))


async def test_a_model_that_does_not_blend_refuses_a_mixture(hub):
    with pytest.raises(UnsupportedCapability, match="no mixing"):
        await hub.speak(SpeechRequest(text="hi", voice="low+high"))


async def test_a_prepared_state_is_known_by_all_that_it_was_made_from(hubs, tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")

    async def key(digest="a", **settings):
        hub = await hubs(data=str(tmp_path), model={"path": str(weights), **settings})
        model = hub.models.get("tone")
        return prepared_key(model_identity(model, await model.start(), hub.plugins), digest)

    keys = [await key(), await key("b"), await key(dtype="float16"), await key(options={"mixing": True})]
    weights.write_bytes(b"other")
    keys.append(await key())
    assert len(set(keys)) == len(keys)
    assert await key() == keys[-1]
    assert await key(preload=True, deadline=7) == keys[-1]


async def test_a_state_from_before_the_model_declared_that_its_states_suffice_is_made_again(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path))
    model = hub.models.get("tone")
    before = await model.start()
    after = replace(before, capabilities=replace(before.capabilities, prepared_suffices=True))
    assert model_identity(model, before, hub.plugins) != model_identity(model, after, hub.plugins)
