"""Requests, spoken by tiny models: voices do not mix, seams are not heard, requests choose weights, refusals."""

import json
import threading
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hub_gpt_sovits.model.upsampling import Upsampler
from hub_gpt_sovits.synthesizer import GptSovits

from hub.contract import AudioChunk, Mark, ModelConfig, VoiceDraft
from hub.contract.errors import (
    EmptyText,
    HubError,
    InvalidAudio,
    InvalidRequest,
    UnknownVoice,
    UnspeakableText,
    UnsupportedCapability,
    WorkerStartFailed,
)
from hub.contract.speech import ResolvedRequest, Sampling
from hub.testing.driver import Driver
from hub.testing.sounds import alike
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny
from plugins.gpt_sovits.tests.support.tiny import reference
from plugins.gpt_sovits.tests.support.weights import TINY, acoustic_file, save, semantic_file

TEXT = "今天天气真不错，我们一起去公园散步吧。"
QUICK = {"text": "今天天气真不错。", "options": {"sample_steps": 1}}
"""One segment, one step of the flow, for v3 and v4."""

NEVER = threading.Event()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """v1, v2, v2Pro and v4 in one folder, as the release repository has them, and a fine-tuned pair."""
    import torch

    folder = tmp_path_factory.mktemp("release")
    gpt_sovits_tiny.release(folder, "v1", "v2Pro", "v4", "v2")
    torch.manual_seed(99)
    save(folder / "GPT_weights_v2/own-e5.ckpt", semantic_file(TINY))
    torch.manual_seed(1)
    save(folder / "SoVITS_weights_v2/own_e5_s50.pth", acoustic_file("v2", TINY))
    return folder


def loaded(folder, **options):
    synthesizer = GptSovits()
    options = {"threads": 1, "warm_up": False, **options}
    synthesizer.load(ModelConfig(name="tiny", path=str(folder), device="cpu", options=options))
    return synthesizer


@pytest.fixture(scope="module")
def v2(folder):
    return loaded(folder, version="v2")


@pytest.fixture(scope="module")
def v4(folder):
    return loaded(folder, version="v4")


def request(text=TEXT, references=None, **fields):
    options = {"text_lang": "all_zh", "sample_steps": 2, **fields.pop("options", {})}
    references = (reference(),) if references is None else references
    fields.setdefault("seed", 7)
    return ResolvedRequest(text=text, references=references, options=options, **fields)


def spoken(synthesizer, wanted):
    events = list(synthesizer.speak(wanted, NEVER))
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    return chunks, [event for event in events if isinstance(event, Mark)]


def wave(chunks):
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<f4")


# -- voices do not mix -------------------------------------------------------------------------------------------


def test_sixteen_requests_at_once_are_the_sixteen_alone(folder):
    from hub.plugin.manager import Plugins

    spec = Plugins.discover().backends["gpt_sovits"]
    options = {"version": "v2", "threads": 1, "warm_up": False, "concurrency": 4}
    config = ModelConfig(name="tiny", backend="gpt_sovits", path=str(folder), device="cpu", options=options)
    requests = [
        request(
            f"{'一二三四五六七八九十'[number % 10]}号公园里有花，真好看。",
            references=(reference(90.0 + 9 * number, 3.0 + number / 4),),
            stream=bool(number % 2),
            seed=number,
            options={"sovits": "own_e5_s50.pth"} if number % 3 == 0 else {},
        )
        for number in range(16)
    ]
    driver = Driver(spec, config)
    try:
        alone = [driver.speak(one).or_raise().samples for one in requests]
        together = [answer.or_raise().samples for answer in driver.speak_together(requests)]
    finally:
        driver.close()
    assert all(map(alike, alone, together))
    assert not any(alike(one, other) for one, other in combinations(alone, 2))


def test_prepared_voices_are_the_recordings(v2, folder):
    references = (reference(130), reference(200))
    state = v2.make_voice(VoiceDraft(references=references))
    assert not state.startswith(b"\x80")
    plain = wave(spoken(v2, request(references=references))[0])
    other = loaded(folder, version="v2")  # without the cache of the first one
    prepared = request(references=references, prepared=state)
    assert alike(wave(spoken(other, prepared)[0]), plain)


def test_voices_are_prepared_with_the_default_acoustic_weights_and_the_networks_of_recordings(folder, v2):
    names = {str(path.relative_to(folder)) for path in v2.files}
    assert {Path(name).name for name in names} >= {"chinese-hubert-base"}
    assert [path for path in v2.files if not path.exists()] == []
    own = loaded(folder, version="v2", sovits="SoVITS_weights_v2/own_e5_s50.pth")
    assert set(own.files) ^ set(v2.files) == {own.files[0], v2.files[0]}


def test_a_voice_prepared_for_other_weights_is_made_again(folder, v2, v4):
    state = v2.make_voice(VoiceDraft(references=(reference(170),)))
    wanted = request(references=(reference(170),), **QUICK)
    prepared = request(references=(reference(170),), prepared=state, **QUICK)
    assert alike(wave(spoken(v4, prepared)[0]), wave(spoken(v4, wanted)[0]))


def test_further_recordings_colour_the_sound(v2):
    one = wave(spoken(v2, request())[0])
    two = wave(spoken(v2, request(references=(reference(), reference(300, 1.0, None))))[0])
    assert len(one) == len(two)  # the words come from the first recording alone
    assert not alike(one, two)


# -- seams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, 2, 3])
@pytest.mark.parametrize("speed", [1.0, 1.3])
def test_no_seam_is_louder_than_the_speech(v2, mode, speed):
    options = {"min_chunk_length": 8, "fragment_interval": 0.0}
    wanted = request(stream=True, speed=speed, options=options if mode is None else {**options, "streaming_mode": mode})
    chunks, marks = spoken(v2, wanted)
    assert len(chunks) > len(marks) or mode == 2  # mode 2 waits for a pause, and random weights need not make one
    parts = [np.frombuffer(chunk.pcm, "<f4") for chunk in chunks]
    inside = max(np.abs(np.diff(part)).max() for part in parts)
    seams = [
        abs(float(after[0] - before[-1]))
        for before, after, one, other in zip(parts, parts[1:], chunks, chunks[1:], strict=False)
        if one.span == other.span
    ]
    assert all(seam <= inside for seam in seams)


def test_streamed_speech_is_as_long_as_whole_speech(v2):
    whole = sum(chunk.seconds for chunk in spoken(v2, request())[0])
    streamed = sum(chunk.seconds for chunk in spoken(v2, request(stream=True, options={"min_chunk_length": 8}))[0])
    assert streamed == pytest.approx(whole, abs=0.1)  # a joint may shift by 10 ms


def test_the_first_chunk_is_short(v2):
    chunks, _ = spoken(v2, request(stream=True, options={"text_split_method": "cut0", "min_chunk_length": 8}))
    assert chunks[0].seconds < 0.3
    assert len(chunks) > 3


def test_v4_streams_by_segments(v4):
    chunks, marks = spoken(v4, request(stream=True, options={"streaming_mode": 3}))
    assert [mark.text for mark in marks] == ["今天天气真不错，", "我们一起去公园散步吧。"]
    assert len(chunks) == 4  # a silence after each


# -- times ------------------------------------------------------------------------------------------------------


def test_marks_and_intervals_are_exact(v2, v4):
    for synthesizer, rate in ((v2, 32_000), (v4, 48_000)):
        chunks, marks = spoken(synthesizer, request(options={"fragment_interval": 0.25}))
        assert {chunk.sample_rate for chunk in chunks} == {rate}
        ends = np.cumsum([len(chunk.pcm) // 4 for chunk in chunks])
        assert len(chunks[1].samples) == rate // 4
        assert not any(chunks[1].samples)
        assert [round(mark.end * rate) for mark in marks] == [ends[0], ends[2]]
        assert [round(mark.start * rate) for mark in marks] == [0, ends[1]]
        assert [TEXT[slice(*mark.span)] for mark in marks] == [mark.text for mark in marks]


def test_batches_keep_the_order_of_the_text(v2):
    text = "我们一起去公园散步吧，今天天气真不错，小院儿里有一朵花儿真好看。他来了吗？"
    _, one = spoken(v2, request(text))
    _, four = spoken(v2, request(text, options={"batch_size": 4, "batch_threshold": 0.1}))
    assert [mark.text for mark in one] == [mark.text for mark in four]


def test_speed_stretches_frames_not_silence(v2):
    slow, fast = (spoken(v2, request(speed=speed))[1] for speed in (0.8, 1.6))
    ratio = (slow[0].end - slow[0].start) / (fast[0].end - fast[0].start)
    assert ratio == pytest.approx(2, rel=0.05)
    assert slow[1].start - slow[0].end == pytest.approx(0.3)


# -- weights ----------------------------------------------------------------------------------------------------


def test_a_request_chooses_its_weights_and_disturbs_no_other(v2, folder):
    own = {"gpt": "own-e5.ckpt", "sovits": "own_e5_s50.pth"}
    plain = wave(spoken(v2, request())[0])
    in_flight = v2.speak(request(), NEVER)
    first = next(in_flight)
    tuned = wave(spoken(v2, request(options=own))[0])
    rest = [event for event in in_flight if isinstance(event, AudioChunk)]
    assert alike(wave([first, *rest]), plain)
    assert not alike(tuned, plain)
    alone = loaded(folder, gpt="GPT_weights_v2/own-e5.ckpt", sovits="SoVITS_weights_v2/own_e5_s50.pth")
    assert alike(wave(spoken(alone, request())[0]), tuned)


def test_weights_of_another_version_may_be_named(v2, v4):
    s1v3 = {"gpt": "s1v3.ckpt", "sovits": "s2Gv4.pth", **QUICK["options"]}
    assert alike(wave(spoken(v2, request(QUICK["text"], options=s1v3))[0]), wave(spoken(v4, request(**QUICK))[0]))


def test_weights_that_do_not_go_together_are_refused(v2):
    with pytest.raises(InvalidRequest, match="v1"):
        spoken(v2, request(options={"gpt": "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt"}))


def test_the_default_is_the_best_version_of_a_folder(folder):
    assert loaded(folder).capabilities.sample_rate == 32_000
    assert loaded(folder, version="v4").capabilities.needs_transcript
    assert "ko" not in loaded(folder, version="v1").capabilities.languages


def test_super_sampling_doubles_the_rate_of_v3(tmp_path):
    folder = tmp_path / "release"
    gpt_sovits_tiny.release(folder, "v3")
    v3 = loaded(folder)
    wide_options = {"super_sampling": True, **QUICK["options"]}
    with pytest.raises(InvalidRequest, match="AP-BWE"):
        next(v3.speak(request(options=wide_options), NEVER))
    beside = folder / "AP_BWE_main/24kto48k"
    sizes = {"ConvNeXt_channels": 16, "ConvNeXt_layers": 2, "n_fft": 1024, "hop_size": 80, "win_size": 320}
    beside.mkdir(parents=True)
    (beside / "config.json").write_text(json.dumps({**sizes, "hr_sampling_rate": 48_000}))
    save(beside / "g_24kto48k.zip", {"generator": Upsampler({**sizes, "hr_sampling_rate": 48_000}).state_dict()})
    plain, _ = spoken(v3, request(**QUICK))
    wide, _ = spoken(v3, request(QUICK["text"], options=wide_options))
    assert ({one.sample_rate for one in plain}, {one.sample_rate for one in wide}) == ({24_000}, {48_000})
    assert sum(one.seconds for one in wide) == pytest.approx(sum(one.seconds for one in plain), abs=0.02)


# -- loading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": {"version": "v9"}}, r"models\.tiny\.options: Invalid enum value 'v9'"),
        ({"options": {"batch_size": 2}}, r"models\.tiny\.options: .*batch_size"),
        ({"dtype": "float16"}, r"models\.tiny\.dtype is 'float16', and this backend computes in float32 on the CPU"),
        ({"device": "cuda:77"}, r"models\.tiny\.device is 'cuda:77'"),
        ({"options": {"gpt": "none.ckpt"}}, r"none\.ckpt"),
    ],
)
def test_settings_that_cannot_be_used_are_named(folder, fields, words):
    with pytest.raises(WorkerStartFailed, match=words):
        GptSovits().load(ModelConfig(name="tiny", **{"path": str(folder), "device": "cpu", **fields}))


def test_a_loaded_model_names_its_device(v2):
    assert (v2.device, v2.concurrency) == ("cpu", 2)


# -- refusals ---------------------------------------------------------------------------------------------------

REFUSED = {
    "no reference": (request(references=()), InvalidRequest, "needs a recording"),
    "too short": (request(references=(reference(seconds=2.99),)), InvalidAudio, "3 to 10 s; this one lasts 2.99 s"),
    "too long": (request(references=(reference(seconds=10.01),)), InvalidAudio, "3 to 10 s; this one lasts 10.01 s"),
    "a voice": (request(voice="anna", references=()), UnknownVoice, "anna"),
    "no text": (request("  "), EmptyText, "no text"),
    "only marks": (request("！？"), UnspeakableText, "nothing to say"),
    "speed": (request(speed=3.0), InvalidRequest, "speeds of 0.5 to 2"),
    "top_k": (request(sampling=Sampling(top_k=0)), InvalidRequest, "top_k"),
    "length": (request(sampling=Sampling(max_new_tokens=5)), InvalidRequest, "max_new_tokens"),
    "weights": (request(options={"gpt": "no.ckpt"}), InvalidRequest, "no.ckpt"),
    "path": (request(options={"sovits": "/etc/passwd"}), InvalidRequest, "file name"),
    "not S1": (request(options={"gpt": "own_e5_s50.pth"}), InvalidRequest, "not a GPT-SoVITS semantic model"),
    "super_sampling": (request(options={"super_sampling": True}), InvalidRequest, "super_sampling"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_that_cannot_be_spoken_is_refused(v2, what):
    wanted, kind, words = REFUSED[what]
    with pytest.raises(kind, match=words):
        next(v2.speak(wanted, NEVER))


def test_the_length_of_a_reference_is_checked_before_any_work(folder):
    fresh = loaded(folder, version="v2")
    fresh._machinery.networks._shared.get("chinese-hubert-base", None).forward = None  # would be called, and fail
    with pytest.raises(InvalidAudio):
        next(fresh.speak(request(references=(reference(seconds=11),)), NEVER))


def test_v4_needs_a_transcript(v4):
    with pytest.raises(InvalidRequest, match="needs the transcript"):
        next(v4.speak(request(references=(reference(text=None),)), NEVER))


def test_v2_speaks_without_a_transcript(v2):
    assert wave(spoken(v2, request(references=(reference(text=None),)))[0]).any()


def test_v1_reads_three_languages(folder):
    with pytest.raises(HubError, match="does not read 'ko'"):
        next(loaded(folder, version="v1").speak(request(options={"text_lang": "ko"}), NEVER))


def test_turns_are_refused(v2):
    from hub.contract import Turn

    wanted = ResolvedRequest(turns=(Turn(text=TEXT),), references=(reference(),))
    with pytest.raises(UnsupportedCapability):
        next(v2.speak(wanted, NEVER))


def test_stop_ends_it_within_a_step(v2):
    stop = threading.Event()
    for stream in (False, True):
        stop.clear()
        events = v2.speak(request(stream=stream, options={"min_chunk_length": 8}), stop)
        next(events)
        stop.set()
        assert len([event for event in events if isinstance(event, AudioChunk)]) <= 1
