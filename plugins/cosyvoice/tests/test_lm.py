"""Beyond parity: limits, sampling, text in pieces, presets, prepared voices, and the errors of damaged checkpoints."""

import io
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
import torch
from hub_cosyvoice.checkpoint.folder import find_folder
from hub_cosyvoice.decoding.generate import LMInput, Outcome, generate
from hub_cosyvoice.decoding.interleave import GroupSizes, interleaved
from hub_cosyvoice.decoding.sampling import RasParameters, RasSampler, greedy, ras
from hub_cosyvoice.decoding.silence import without_long_silence
from hub_cosyvoice.machinery import load_machinery
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.lm import qwen
from hub_cosyvoice.model.lm.cache_view import Padded
from hub_cosyvoice.prompt import PREAMBLE, Planner
from hub_cosyvoice.releases import variant_of
from hub_cosyvoice.session import Sessions
from hub_cosyvoice.synthesizer import CosyVoice
from hub_cosyvoice.voices import Recordings, Speaker, packed, preset_voices, read_presets, unpacked
from msgspec.structs import replace
from safetensors.torch import save

from hub.contract.backend import ModelConfig
from hub.contract.errors import BackendFailed, InvalidAudio, UnsupportedCapability, WorkerStartFailed
from hub.contract.speech import Reference, ResolvedRequest
from hub.nn.sampling import request_generator


@pytest.fixture(scope="module")
def models(checkpoint):
    return {
        name: load_machinery(ModelConfig(name=name, path=str(checkpoint(name)), device="cpu"))
        for name in ("v1", "v2", "v3")
    }


class Counting(Sessions):
    """Sessions that count their loans."""

    lent = 0

    @contextmanager
    def lend(self, length):
        self.lent += 1
        try:
            with super().lend(length) as session:
                yield session
        finally:
            self.lent -= 1


def stop_now(logp, drawn):
    """Chooses what ends speech, if it may."""
    return int(logp.argsort(descending=True)[0]) if logp[-1] == -torch.inf else len(logp) - 1


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_no_end_before_two_tokens_for_each_id_and_a_cap_is_reported(models, name):
    lm, sessions = models[name].lm, Counting(models[name].lm)
    given = LMInput(text=[5, 6, 7])
    assert len(list(generate(lm, sessions, given, stop_now))) == 6
    outcome = Outcome()
    spoken = list(generate(lm, sessions, given, lambda logp, drawn: 3, outcome=outcome))
    assert len(spoken) == 60
    assert outcome.capped
    assert len(list(generate(lm, sessions, given, lambda logp, drawn: 3, most=9))) == 9
    tokens = generate(lm, sessions, given, greedy)
    next(tokens)
    assert sessions.lent == 1
    tokens.close()  # the caller left
    assert sessions.lent == 0


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_the_padded_step_of_graphs_computes_what_the_loop_computes(models, name):
    lm = models[name].lm
    with torch.inference_mode():
        lm.reserve(64)
        x = lm.sequence([1, 2, 3], [4, 5], torch.ones(192))
        with Sessions(lm).lend(64) as session:
            session.extend(x)
            wanted = session.step(9)
            position = torch.tensor([x.shape[1]])
            for visible in (x.shape[1] + 1, 32, 64):
                found = lm(lm.embed_speech(torch.tensor([9])), Padded(session._cache, position, visible))
                torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_sampling_settings_change_the_draw():
    logp = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = request_generator(1)

    def share(parameters, drawn=()):
        sampler = RasSampler(parameters, generator)
        found = [sampler(logp, drawn) for _ in range(400)]
        return [found.count(token) / 400 for token in range(4)]

    assert share(RasParameters(top_p=1.0, top_k=0))[3] > 0.01
    assert share(RasParameters(top_p=0.6))[2:] == [0, 0]
    assert share(RasParameters(top_k=1)) == [1, 0, 0, 0]
    assert share(RasParameters(top_p=0.0)) == [1, 0, 0, 0]
    assert share(RasParameters(temperature=0.0)) == [1, 0, 0, 0]
    assert share(RasParameters(temperature=0.2))[0] > 0.85
    repeated = share(RasParameters(top_k=1), drawn=[0])
    assert repeated[0] == 0  # it was drawn just now: anything else is
    assert min(repeated[1:]) > 0
    assert ras(logp, [0] * 3 + [1] * 10, RasParameters(top_k=1), torch.ones(1), lambda: torch.ones(4)) == (0, False)


def test_equal_probabilities_rank_by_id():
    """Two draws that differ only in rank: the first of a tie must be the lower id."""
    logp = torch.tensor([1.0, 3.0, 2.0, 3.0, 3.0, 2.0]).log_softmax(-1)
    first, second, third = (
        ras(logp, [], RasParameters(top_p=1.0, top_k=4), 1 / (torch.eye(4)[rank] + 1e-6), lambda: torch.ones(6))[0]
        for rank in (0, 2, 3)
    )
    assert (first, second, third) == (1, 4, 2)


def test_silence_is_shortened():
    assert list(without_long_silence([1] * 9 + [3] + [2] * 7)) == [1] * 5 + [3] + [2] * 5


def test_text_in_pieces_ends_keeps_to_its_limits_and_gives_its_session_back(models, monkeypatch):
    model = models["v2"]
    sessions = Counting(model.lm)

    def spoken(pieces, sampler=greedy, **more):
        return list(
            interleaved(model.lm, sessions, LMInput([]), pieces, sampler, sizes=GroupSizes(), preamble=0, **more)
        )

    assert len(spoken([1, 2, 3], stop_now)) == 6  # two for each id, though the end came first
    assert len(spoken(range(12), lambda logp, drawn: 3)) == 240
    outcome = Outcome()
    assert len(spoken(range(12), lambda logp, drawn: 3, most=30, outcome=outcome)) == 30
    assert outcome.capped
    stream = interleaved(model.lm, sessions, LMInput([]), range(40), greedy, sizes=GroupSizes(), preamble=0)
    next(stream)
    assert sessions.lent == 1
    stream.close()
    assert sessions.lent == 0
    monkeypatch.setattr("hub_cosyvoice.decoding.interleave.LONGEST", 120)
    outcome = Outcome()
    assert spoken([1] * 200, lambda logp, drawn: model.lm.fill, outcome=outcome) == []  # full, and no error
    assert outcome.capped


def test_no_speech_before_there_is_a_group_of_text(models):
    model = models["v3"]
    plan = planner(model).plan("cross_lingual", recorded())
    taken = []
    pieces = (taken.append(number) or number for number in range(40))
    given = plan.lm_input(())
    next(interleaved(model.lm, model.sessions, given, pieces, greedy, sizes=GroupSizes(), preamble=plan.preamble))
    assert len(taken) == GroupSizes().text


def test_the_rotary_table_never_gets_shorter(models, monkeypatch):
    """A request that comes while a shorter one makes the table waits, and both find their positions."""
    lm = models["v2"].lm
    made, go = threading.Event(), threading.Event()
    table = qwen.rotary_table

    def slow(length, frequencies):
        if length == 2048:
            made.set()
            go.wait(5)
        return table(length, frequencies)

    monkeypatch.setattr(qwen, "rotary_table", slow)
    monkeypatch.setattr(lm, "_rotary", lm._rotary[:0])
    short, long = (threading.Thread(target=lm.reserve, args=(positions,)) for positions in (100, 3000))
    short.start()
    assert made.wait(5)
    long.start()
    long.join(0.2)
    go.set()
    for thread in (short, long):
        thread.join(5)
    assert len(lm._rotary) == 4096


# -- prompts -----------------------------------------------------------------------------------------------------------


def planner(model):
    return Planner(model.config.generation, model.tokenizer, model.normaliser, model.frames_per_token)


def recorded(transcript=None):
    return Speaker(AcousticPrompt(torch.arange(10), torch.zeros(19, 80), torch.ones(192)), transcript)


def test_markers_are_added_where_the_caller_left_them_out(models):
    v1, v2, v3 = models.values()
    marker = "<|endofprompt|>"
    for model, mode, instruct in ((v1, "instruct", "Speak calmly."), (v2, "instruct2", "用四川话说")):
        plans = [planner(model).plan(mode, recorded(), instruct=text) for text in (instruct, instruct + marker)]
        assert plans[0].before == plans[1].before
    asked = planner(v3).plan("instruct2", recorded(), instruct=f"{PREAMBLE} 请用广东话表达。{marker}")
    assert planner(v3).plan("instruct2", recorded(), instruct="请用广东话表达。").before == asked.before
    assert asked.before[-1] == v3.tokenizer.end_of_prompt
    written = planner(v3).plan("zero_shot", recorded(f"{PREAMBLE}{marker}希望"))
    assert planner(v3).plan("zero_shot", recorded("希望")).before == written.before
    assert written.before[written.preamble - 1] == v3.tokenizer.end_of_prompt
    bare = planner(v3).plan("cross_lingual", recorded())
    assert bare.preamble == len(bare.before) == len(v3.tokenizer.encode(PREAMBLE)) + 1


def test_prompts_are_cut_to_whole_tokens_but_in_the_first_generation(models):
    plan = planner(models["v2"]).plan("zero_shot", recorded("Hi."))
    assert (len(plan.prompt.tokens), len(plan.prompt.mel), len(plan.speech)) == (9, 18, 9)
    plan = planner(models["v1"]).plan("zero_shot", recorded("Hi."))
    assert (len(plan.prompt.tokens), len(plan.prompt.mel), plan.takes_speaker) == (10, 19, True)
    assert not planner(models["v1"]).plan("instruct", recorded(), instruct="Calmly.").takes_speaker


def test_saved_zero_shot_voices_are_presets(tmp_path, models):
    entry = {
        "prompt_text": torch.tensor([[4, 5, 6]], dtype=torch.int32),
        "flow_prompt_speech_token": torch.arange(10, dtype=torch.int32)[None],
        "prompt_speech_feat": torch.zeros(1, 20, 80),
        "flow_embedding": torch.ones(1, 192),
        "llm_embedding": torch.ones(1, 192),
    }
    torch.save({"saved": entry, "中文女": {"embedding": torch.zeros(1, 192)}}, tmp_path / "spk2info.pt")
    presets = read_presets(tmp_path)
    assert [(voice.id, voice.languages, voice.tags) for voice in preset_voices(presets)] == [
        ("saved", (), ("zero-shot",)),
        ("中文女", ("zh",), ("female",)),
    ]
    assert planner(models["v2"]).plan("zero_shot", presets["saved"]).before == (4, 5, 6)
    v3 = planner(models["v3"]).plan("zero_shot", presets["saved"])
    assert v3.before[v3.preamble :] == (4, 5, 6)
    torch.save({"saved": {"embedding": torch.zeros(1, 5)}}, tmp_path / "spk2info.pt")
    with pytest.raises(WorkerStartFailed, match="no embedding"):
        read_presets(tmp_path)
    torch.save({"saved": {"embedding": print}}, tmp_path / "spk2info.pt")
    with pytest.raises(WorkerStartFailed, match=r"spk2info\.pt"):
        read_presets(tmp_path)


def same(one, other):
    """True if two prompts are equal."""
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("tokens", "mel", "embedding"))


@pytest.mark.parametrize("transcript", [None, "", "Hello."])
def test_prepared_state_is_data_and_anything_else_is_refused(transcript):
    speaker = recorded(transcript)
    again = unpacked(packed(speaker))
    assert same(again.prompt, speaker.prompt)
    assert again.transcript == transcript
    assert unpacked(b"\x80\x04K\x01.") is unpacked(b"") is None


def reference(seconds, text, rate=16_000, **more):
    file = io.BytesIO()
    tone = np.sin(np.arange(int(seconds * rate)) / 20).astype(np.float32)
    soundfile.write(file, tone, rate, format="WAV", subtype="FLOAT")
    return Reference(audio=file.getvalue(), text=text, **more)


def test_a_prepared_voice_needs_no_audio(models):
    recordings = Recordings(models["v2"].features)
    given = [reference(2, "one", language="en"), reference(3, "two"), reference(29, "three")]
    state = recordings.prepare(given)
    silent = [replace(one, audio=b"", language="fr") for one in given]
    speaker, again = recordings.speaker(given), recordings.speaker(silent, state)
    assert same(again.prompt, speaker.prompt)
    assert (speaker.transcript, again.transcript) == ("one two", "one two")
    assert (speaker.language, again.language) == ("en", "fr")  # the state does not hold it: it may change


def test_an_old_state_is_made_again_or_named(models):
    """States had no transcript once, and were bare safetensors."""
    recordings = Recordings(models["v2"].features)
    given = [reference(2, "one")]
    old = save({"tokens": torch.zeros(3), "mel": torch.zeros(6, 80), "embedding": torch.zeros(192)})
    assert unpacked(old) is None
    assert same(recordings.speaker(given, old).prompt, recordings.speaker(given).prompt)
    with pytest.raises(BackendFailed, match="cache/prepared"):
        recordings.speaker([replace(given[0], audio=b"")], old)


def test_several_recordings_are_used_as_far_as_they_fit(models):
    recordings = Recordings(models["v2"].features)
    both = recordings.speaker([reference(2, "one"), reference(3, "two", 24_000), reference(29, "three")])
    assert both.transcript == "one two"
    assert len(both.prompt.mel) == pytest.approx(5 * 50, abs=3)
    one = recordings.speaker([reference(2, "one"), reference(29, None)])
    assert one.transcript == "one"
    assert same(one.prompt, recordings.speaker([reference(2, None)]).prompt)
    with pytest.raises(InvalidAudio, match="30 s"):
        recordings.speaker([reference(31, "long")])
    with pytest.raises(InvalidAudio, match="16000"):
        recordings.speaker([reference(2, "low", 8_000)])


# -- checkpoints -------------------------------------------------------------------------------------------------------


def test_damage_is_named_by_file_and_key(tmp_path, checkpoint):
    folder = tmp_path / "damaged"
    shutil.copytree(checkpoint("v3"), folder)

    def load():
        load_machinery(ModelConfig(name="x", path=str(folder), device="cpu"))

    state = torch.load(folder / "llm.pt", weights_only=True)
    torch.save({**state, "surplus": torch.zeros(1)}, folder / "llm.pt")
    with pytest.raises(WorkerStartFailed, match=r"llm\.pt.*surplus"):
        load()
    torch.save({key: value for key, value in state.items() if "norm" not in key}, folder / "llm.pt")
    with pytest.raises(WorkerStartFailed, match=r"llm\.pt lacks .*norm"):
        load()
    (folder / "llm.pt").write_bytes(b"no torch file")
    with pytest.raises(WorkerStartFailed, match=r"llm\.pt is refused"):
        load()
    (folder / "CosyVoice-BlankEN" / "vocab.json").unlink()
    with pytest.raises(WorkerStartFailed, match=r"vocab\.json"):
        load()


def test_invalid_settings_are_refused(checkpoint):
    for wrong, words in (
        ({"device": "tpu"}, r"models\.x\.device is 'tpu'"),
        ({"device": "cpu", "dtype": "bf16"}, r"models\.x\.dtype is 'bf16'"),
        ({"device": "cpu", "options": {"longest": 1000}}, r"models\.x\.options: .*longest"),
        ({"device": "cpu", "options": {"language_model": "rl"}}, r"llm\.rl\.pt"),
    ):
        with pytest.raises(WorkerStartFailed, match=words):
            CosyVoice().load(ModelConfig(name="x", path=str(checkpoint("v2")), **wrong))
    with pytest.raises(WorkerStartFailed, match="path"):
        find_folder("")
    with pytest.raises(WorkerStartFailed, match="ttshub pull"):
        find_folder("/nowhere/at/all")


def test_a_release_is_found_by_its_id(tmp_path, monkeypatch):
    asked = []

    def fetched(repository, *, allow_patterns):
        asked.append((repository, "cosyvoice2.yaml" in allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert find_folder("iic/CosyVoice2-0.5B") == find_folder("FunAudioLLM/CosyVoice2-0.5B") == tmp_path
    assert asked == [("FunAudioLLM/CosyVoice2-0.5B", True)] * 2

    def offline(repository, *, allow_patterns):
        raise OSError("no network at /home/somebody")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(WorkerStartFailed, match="OSError") as refused:
        find_folder("iic/CosyVoice2-0.5B")
    assert "/home" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "variant"),
    [
        ("/models/CosyVoice-300M-SFT", "sft"),
        ("/models/CosyVoice-300M-Instruct/", "instruct"),
        ("iic/CosyVoice-300M", "base"),
        ("/models/mine", "auto"),
    ],
)
def test_which_300m_it_is_follows_from_the_path(path, variant):
    assert variant_of(path) == variant


def test_only_the_instruct_model_follows_instructions(checkpoint):
    synthesizer = CosyVoice()
    synthesizer.load(ModelConfig(name="x", path=str(checkpoint("v1")), device="cpu", options={"variant": "sft"}))
    assert synthesizer.device == "cpu"
    assert not synthesizer.capabilities.instruct
    stop = threading.Event()
    with pytest.raises(UnsupportedCapability, match="Instruct"):
        next(synthesizer.speak(ResolvedRequest(text="Hi.", instruct="Calmly."), stop))
    with pytest.raises(UnsupportedCapability, match="pieces"):
        next(synthesizer.speak_live(ResolvedRequest(), iter(["Hi."]), stop))
    assert next(synthesizer.speak(ResolvedRequest(text="Hi.", seed=1), stop)).seconds > 0
    stop.set()
    assert list(synthesizer.speak(ResolvedRequest(text="Hi.", seed=1), stop)) == []
