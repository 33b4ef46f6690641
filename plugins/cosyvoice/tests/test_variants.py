"""Checkpoints beyond the releases: sizes and layers that the models' own code can read."""

import json
import re

import pytest
import torch
from hub_cosyvoice.checkpoint.flow import build_flow, ready
from hub_cosyvoice.checkpoint.lm import read_sizes
from hub_cosyvoice.checkpoint.vocoder import build_vocoder
from hub_cosyvoice.config import read_config
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.flow.conformer import chunk_mask
from hub_cosyvoice.prompt import Planner
from hub_cosyvoice.streaming import start_stream
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.tokenizer import load_tokenizer
from hub_cosyvoice.voices import Speaker
from hub_cosyvoice.wave import TokenToWave

from plugins.cosyvoice.tests.support.tiny import FILES, YAML

CPU = torch.device("cpu")


def config_of(folder, name, *edits):
    """The Config of a tiny checkpoint's yaml in which each pattern of `edits` is replaced."""
    text = (YAML / FILES[name]).read_text()
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text, flags=re.M)
        assert count, pattern
    (folder / FILES[name]).write_text(text)
    return read_config(folder)


def flow_of(config):
    torch.manual_seed(1)
    return ready(build_flow(config), config, CPU, torch.float32)


def wave_of(config):
    vocoder = build_vocoder(config).eval().requires_grad_(False)
    if vocoder.causal:
        vocoder.f0_predictor.double()
    return TokenToWave(config, flow_of(config), vocoder, CPU)


def estimate(estimator, frames, *, mask=None, seed=2):
    """The velocity (1, 80, T) at random inputs, of which a longer one begins like a shorter one."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(frames, 3, 1, 80, generator=generator).permute(1, 2, 3, 0)
    speaker = torch.ones(1, 80)
    times = estimator.times(torch.tensor([0.3]))[0]
    with torch.inference_mode():
        return estimator(drawn[0], estimator.conditions(drawn[1], speaker, drawn[2]), times, mask)


def test_the_base_of_the_rotation_is_where_older_and_newer_configs_have_it(tmp_path):
    file = tmp_path / "config.json"
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
    sizes["rms_norm_eps"] = 1e-6
    for said in ({"rope_theta": 7.0}, {"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}):
        file.write_text(json.dumps(sizes | said))
        assert read_sizes(file).base == 7.0


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("v2", ["token_mel_ratio: !ref", "pre_lookahead_len", "lrelu_slope", "audio_limit", "nsf_", "nb_harmonics"]),
        ("v3", ["token_mel_ratio: !ref", "ff_mult", "conv_pre_look_right", "lrelu_slope", "nsf_sigma"]),
    ],
)
def test_what_a_yaml_leaves_out_is_as_in_the_models_own_code(tmp_path, name, left_out):
    full = config_of(tmp_path, name, *([(r"ff_mult: \d", "ff_mult: 4")] if name == "v3" else []))
    short = config_of(tmp_path, name, *((rf"^    +{key}.*\n", "") for key in left_out))
    for build in (build_flow, build_vocoder):
        one, other = build(full), build(short)
        shapes = [{key: value.shape for key, value in part.state_dict().items()} for part in (one, other)]
        assert shapes[0] == shapes[1]
    sources = [build_vocoder(config).m_source for config in (full, short)]
    numbers = [(source.amplitude, source.noise, source.threshold, source.harmonics) for source in sources]
    assert numbers[0] == numbers[1]
    assert build_vocoder(short).sizes == build_vocoder(full).sizes
    assert build_flow(short).ratio == 2


def test_a_long_skip_joins_the_first_and_the_last_of_the_transformer(tmp_path):
    plain = flow_of(config_of(tmp_path, "v3")).estimator
    edit = (r"(            )depth: 2", r"\1depth: 2\n\1long_skip_connection: True")
    joined = flow_of(config_of(tmp_path, "v3", edit)).estimator
    missing = joined.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["long_skip_connection.weight"]
    width = joined.long_skip_connection.weight.shape[0]
    last, first = torch.eye(width), torch.zeros(width, width)
    joined.long_skip_connection.weight.copy_(torch.cat([last, first], dim=1))
    assert torch.allclose(estimate(joined, 40), estimate(plain, 40), atol=1e-6)
    joined.long_skip_connection.weight.copy_(torch.cat([first, last], dim=1))
    skipped = estimate(joined, 40)
    assert not torch.allclose(skipped, estimate(plain, 40), atol=1e-2)
    joined.transformer_blocks = torch.nn.ModuleList()  # only what goes in counts now
    assert torch.allclose(estimate(joined, 40), skipped, atol=1e-6)


def test_a_causal_unet_that_halves_the_rate_keeps_its_chunks(tmp_path):
    config = config_of(tmp_path, "v2", (r"channels: \[32\]", "channels: [16, 24]"))
    estimator = flow_of(config).estimator
    assert estimator.resamples
    chunk = 2 * estimator.chunk  # at half the rate a chunk has as many steps
    long, short = (estimate(estimator, n, mask=chunk_mask(n, estimator.chunk, CPU)) for n in (chunk + 60, chunk))
    settled = estimator.chunk  # the convolution back to the full rate looks beyond the end of the second
    assert torch.allclose(long[:, :, :settled], short[:, :, :settled], atol=1e-5)
    assert not torch.allclose(estimate(estimator, chunk + 60)[:, :, :settled], long[:, :, :settled], atol=1e-3)


def test_a_model_that_keeps_no_past_streams_by_making_all_frames_again(tmp_path):
    config = config_of(tmp_path, "v2", (r"channels: \[32\]", "channels: [16, 24]"))
    wave = wave_of(config)
    prompt = AcousticPrompt(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 80), torch.ones(192))
    tokens = [index % 50 for index in range(60)]
    stream = start_stream(wave, prompt, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        chunks = [stream.feed([token]) for token in tokens]
        chunks.append(stream.finish())
    assert sum(map(len, chunks)) == 60 * 2 * wave.vocoder.hop
    assert sum(len(chunk) > 0 for chunk in chunks) > 1
    with torch.inference_mode():
        mel = wave.flow.mel(wave.batch(tokens), wave.flow_prompt(prompt), final=True, chunked=True)
    assert mel.shape == (1, 80, 120)


def test_a_model_without_chunks_says_all_of_a_stream_at_its_end(tmp_path):
    config = config_of(tmp_path, "v3", (r"static_chunk_size: .*", "static_chunk_size: 0"))
    wave = wave_of(config)
    prompt = AcousticPrompt(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 80), torch.ones(192))
    stream = start_stream(wave, prompt, generator=torch.Generator().manual_seed(1))
    assert len(stream.feed(range(60))) == 0
    assert len(stream.finish()) == 60 * 2 * wave.vocoder.hop


def test_an_encoder_of_the_first_generation_may_see_chunks_only(tmp_path):
    edit = (r"(        )macaron_style: False\n    length", r"\1static_chunk_size: 5\n    length")
    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        chunked = flow_of(config_of(tmp_path, "v1", edit))
        assert torch.allclose(chunked.encode(tokens)[:, :15], chunked.encode(tokens[:, :15]), atol=1e-5)
        whole = flow_of(config_of(tmp_path, "v1"))
        assert not torch.allclose(whole.encode(tokens)[:, :15], whole.encode(tokens[:, :15]), atol=1e-3)


def test_an_instruction_gets_its_marker_but_in_the_official_rules(checkpoint):
    folder = checkpoint("v2")
    tokenizer = load_tokenizer(folder, read_config(folder))
    normaliser = Normaliser(len)
    speaker = Speaker(AcousticPrompt(torch.zeros(4, dtype=torch.int64), torch.zeros(8, 80), torch.ones(192)))
    ours, official = (Planner(2, tokenizer, normaliser, 2, as_official=followed) for followed in (False, True))
    said = tuple(tokenizer.encode("Calm."))
    assert ours.plan("instruct2", speaker, instruct="Calm.").before == (*said, tokenizer.end_of_prompt)
    assert official.plan("instruct2", speaker, instruct="Calm.").before == said
    marked = official.plan("instruct2", speaker, instruct="Calm.<|endofprompt|>").before
    assert marked == (*said, tokenizer.end_of_prompt)
