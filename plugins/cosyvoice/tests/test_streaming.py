"""Streaming: chunks that are the whole, and how far the official scheme is from that."""

import threading

import pytest
import torch
from hub_cosyvoice.config import read_config
from hub_cosyvoice.draws import children
from hub_cosyvoice.machinery import load_wave
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.flow import flow
from hub_cosyvoice.model.flow.solver import fixed_noise
from hub_cosyvoice.model.vocoder.reach import reach
from hub_cosyvoice.model.vocoder.stream import VocoderStream
from hub_cosyvoice.streaming import consistent, start_stream

from plugins.cosyvoice.tests.support.sounds import same_sound

TOKENS = 125


@pytest.fixture(scope="module", params=["v1", "v2", "v3"])
def wave(request, checkpoint):
    folder = checkpoint(request.param)
    return load_wave(folder, read_config(folder), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def prompt(wave):
    """1.1 s."""
    count, frames = (55, 94) if wave.config.generation == 1 else (27, 54)
    generator = seeded(3)
    return AcousticPrompt(
        tokens=torch.randint(0, wave.config.flow["vocab_size"], (count,), generator=generator),
        mel=1.5 * torch.randn(frames, 80, generator=generator) - 3,
        embedding=torch.randn(192, generator=generator),
    )


@pytest.fixture(scope="module")
def tokens(wave):
    size = wave.config.flow["vocab_size"]
    return torch.randint(0, size, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def spoken(wave, prompt, tokens, *, step=1, **how):
    """Chunks of a stream that is fed `step` tokens at a time, and how many tokens each waited for."""
    stream = start_stream(wave, prompt, generator=seeded(), **how)
    chunks, waited = [], []
    for start in range(0, len(tokens), step):
        part = tokens[start : start + step]
        if len(made := stream.feed(part)):
            chunks.append(made)
            waited.append(start + len(part))
    chunks.append(stream.finish())
    return chunks, waited


@pytest.fixture(scope="module")
def consistent_stream(wave, prompt, tokens):
    """Chunks of the consistent scheme, and how many tokens each waited for."""
    return spoken(wave, prompt, tokens)


@pytest.fixture(scope="module")
def official_stream(wave, prompt, tokens):
    return spoken(wave, prompt, tokens, scheme="official")


@torch.inference_mode()
def at_once(wave, prompt, tokens):
    """The chunk-causal pass over everything, in one call each of flow and vocoder."""
    mel = wave.flow.mel(wave.batch(tokens), wave.flow_prompt(prompt), final=True, chunked=True)
    return mel, wave.sound(mel, children(seeded())[1])[0]


@pytest.mark.parametrize("step", [5, 40])
@torch.inference_mode()
def test_the_vocoder_gives_the_same_samples_in_pieces(wave, step):
    mel = torch.randn(1, 80, 120, generator=seeded())
    whole = wave.sound(mel, seeded())[0]
    stream = VocoderStream(wave.vocoder, seeded())
    pieces = [stream.feed(mel[:, :, start : start + step]) for start in range(0, 120, step)]
    assert any(len(piece) for piece in pieces)
    joined = torch.cat([*pieces, stream.feed(mel[:, :, :0], final=True)])
    assert joined.shape == whole.shape
    # The pitch is rounded differently in convolutions of other lengths, and the phase sums that up.
    assert (joined - whole).abs().max() < 5e-3


@torch.inference_mode()
def test_no_sample_depends_on_frames_out_of_reach(wave):
    vocoder = wave.vocoder.double()
    try:
        left, right = reach(vocoder)
        frames, middle = 80, 40
        mel = torch.randn(1, 80, frames, dtype=torch.float64, generator=seeded())
        source = torch.randn(1, 1, frames * vocoder.hop, dtype=torch.float64, generator=seeded()) / 10
        changed_mel, changed_source = mel.clone(), source.clone()
        changed_mel[:, :, middle] += 1
        changed_source[:, :, middle * vocoder.hop : (middle + 1) * vocoder.hop] += 0.1
        before = vocoder(mel, source)[0]
        differs = (vocoder(changed_mel, changed_source)[0] - before).abs() > 1e-13
        changed = differs.nonzero().flatten() // vocoder.hop
        assert middle - right <= int(changed.min()) < middle
        assert middle < int(changed.max()) <= middle + left
        # and the reach is at most two frames too long
        assert int(changed.max()) >= middle + left - 2
    finally:
        vocoder.float()
        if vocoder.causal:
            vocoder.f0_predictor.double()


@pytest.mark.parametrize("wave", ["v2", "v3"], indirect=True)  # the flow of v1 sees the whole utterance
def test_a_consistent_stream_is_the_whole(wave, prompt, tokens, consistent_stream):
    mel, whole = at_once(wave, prompt, tokens)
    chunks, waited = consistent_stream
    joined = torch.cat(chunks)
    assert len(waited) >= 3
    assert joined.shape == whole.shape
    stream = start_stream(wave, prompt, generator=seeded())
    with torch.inference_mode():
        made = []
        stream._vocoder.feed = lambda part, final=False: made.append(part) or part.new_zeros(0)
        stream.feed(tokens)
        stream.finish()
    assert (torch.cat(made, dim=2) - mel).abs().max() < 2e-5  # 1e-6 times ten steps
    # A mel that differs in its seventh digit moves the pitch, and a second of phase makes that visible.
    assert (joined - whole).abs().max() < 0.06
    assert (joined - whole).square().mean().sqrt() < 2e-3


def test_how_the_tokens_come_does_not_matter(wave, prompt, tokens, consistent_stream):
    at_once, bit_by_bit = torch.cat(spoken(wave, prompt, tokens, step=TOKENS)[0]), torch.cat(consistent_stream[0])
    assert same_sound(at_once.numpy(), bit_by_bit.numpy())


def test_streams_beside_each_other_do_not_disturb_each_other(wave, prompt, tokens, consistent_stream):
    alone = torch.cat(consistent_stream[0])
    found = {}

    def speak(name):
        found[name] = torch.cat(spoken(wave, prompt, tokens, step=5)[0])

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_sound(one.numpy(), alone.numpy()) for one in found.values())


def test_the_first_chunk_comes_at_the_first_mask_chunk_that_gives_anything(
    wave, prompt, consistent_stream, official_stream
):
    first = consistent_stream[1][0]
    assert first < official_stream[1][0]
    if wave.config.generation > 1:
        unit = wave.config.chunk_size
        end = first - wave.flow.ahead + len(prompt.tokens)
        assert end % unit == 0
        frames_before = (end - unit - len(prompt.tokens)) * wave.flow.ratio
        delay = start_stream(wave, prompt, generator=seeded())._vocoder.delay
        assert frames_before < delay + consistent.LEAST_FIRST_FRAMES


def test_the_hop_is_the_requests_own(wave, prompt, consistent_stream, official_stream):
    """CosyVoice's own code lets the hop grow from request to request."""
    for scheme, (_, waited) in (("consistent", consistent_stream), ("official", official_stream)):
        assert start_stream(wave, prompt, generator=seeded(), scheme=scheme).wanted == waited[0]


@pytest.mark.parametrize("wave", ["v2", "v3"], indirect=True)  # v1 remembers no frames
def test_without_memory_the_frames_are_made_again_and_are_the_same(
    wave, prompt, tokens, consistent_stream, monkeypatch
):
    remembered = torch.cat(consistent_stream[0])
    monkeypatch.setattr(consistent, "MEMORY", {"cpu": 0})
    again = torch.cat(spoken(wave, prompt, tokens, step=5)[0])
    assert again.shape == remembered.shape
    assert (again - remembered).abs().max() < 0.06


def test_a_stream_can_be_slower_and_faster(wave, prompt, tokens, consistent_stream):
    plain = sum(map(len, consistent_stream[0]))
    changed = sum(map(len, spoken(wave, prompt, tokens, speed=1.5)[0]))
    assert abs(changed - plain / 1.5) <= 2 * wave.vocoder.hop
    with pytest.raises(ValueError, match="speed"):
        start_stream(wave, prompt, generator=seeded(), scheme="official", speed=1.5)


def test_no_tokens_no_sound(wave, prompt):
    for scheme in ("consistent", "official"):
        assert len(start_stream(wave, prompt, generator=seeded(), scheme=scheme).finish()) == 0
    assert len(wave.whole([], prompt, generator=seeded())) == 0


def test_few_tokens_are_spoken_too(wave, prompt, tokens):
    for count in (1, 4):
        for scheme in ("consistent", "official"):
            stream = start_stream(wave, prompt, generator=seeded(), scheme=scheme)
            stream.feed(tokens[:count])
            assert len(stream.finish()) > 0


def test_a_speaker_without_a_recording(wave, prompt, tokens):
    bare = AcousticPrompt.of_embedding(prompt.embedding)
    assert sum(map(len, spoken(wave, bare, tokens[:60])[0])) > 0
    assert len(wave.whole(tokens[:30], bare, generator=seeded())) > 0


@pytest.mark.parametrize("wave", ["v2"], indirect=True)
def test_the_seams_of_the_official_scheme_are_louder_and_its_last_chunk_another(wave, prompt, tokens):
    """The reason for the consistent scheme. Generation 3 has no fades, only the other last chunk."""
    window = torch.hamming_window(200, periodic=False, dtype=torch.float64)
    assert 20 * torch.log10(window[:100] + window[100:]).min() > 0.6  # dB at each seam
    stream = start_stream(wave, prompt, generator=seeded(), scheme="official")
    stream.mels = []
    stream.feed(tokens)
    stream.finish()
    before, last = stream.mels[-2], stream.mels[-1]
    assert (last[:, :, : before.shape[2]] - before).abs().max() > 1e-3  # what was sent is not what is continued


@pytest.mark.parametrize("wave", ["v2", "v3"], indirect=True)  # v1 draws its noise anew
def test_the_start_noise_is_drawn_once_and_goes_on_after_300_seconds(wave, monkeypatch):
    calls = []

    def counted(frames, bands):
        calls.append(frames)
        return fixed_noise(frames, bands)

    monkeypatch.setattr(flow, "fixed_noise", counted)
    monkeypatch.setattr(wave.flow, "_noise", torch.zeros(1, 0, 0))
    first = wave.flow.noise(0, 100)
    assert torch.equal(wave.flow.noise(0, 14_000)[:, :, :100], first)
    assert torch.equal(wave.flow.noise(14_990, 15_010)[:, :, :10], wave.flow.noise(14_990, 15_000))
    assert calls == [100, 15_010]
