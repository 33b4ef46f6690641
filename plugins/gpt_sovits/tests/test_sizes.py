"""Files of other sizes than the released ones: their own sizes count, and missing parts are left out."""

import math

import pytest
import torch
from hub_gpt_sovits.checkpoint import load_s1
from hub_gpt_sovits.decoding import RowState
from hub_gpt_sovits.features import appended_zeros
from hub_gpt_sovits.layout import Release
from hub_gpt_sovits.model.bigvgan import BigVgan
from hub_gpt_sovits.model.semantic import build_semantic
from hub_gpt_sovits.networks import MUTE_TOKEN, Networks
from hub_gpt_sovits.rendering import Manner, Utterance, render
from hub_gpt_sovits.streaming import StreamRules, token_chunks
from hub_gpt_sovits.voices import ClonedVoice, Sound

from plugins.gpt_sovits.tests.support.weights import TINY, acoustic_file, save, semantic_file


def test_a_small_vocabulary_has_no_pause_and_is_streamed_whole(tmp_path):
    made = semantic_file(TINY)
    for name in ("model.ar_audio_embedding.word_embeddings.weight", "model.ar_predict_layer.weight"):
        made["weight"][name] = made["weight"][name][:101].clone()
    made["config"]["model"] |= {"vocab_size": 101, "EOS": 100}
    save(tmp_path / "small.ckpt", made)
    model = build_semantic(load_s1(tmp_path / "small.ckpt"))
    assert model.end == 100
    scores = model.mute_scores(MUTE_TOKEN)
    steps = ([RowState(list(range(count)), done=count == 30)] for count in range(1, 31))
    assert list(token_chunks(steps, scores, StreamRules(chunk=4, at_pauses=True))) == [(list(range(30)), True)]


@pytest.mark.parametrize(("rate", "zeros"), [(32_000, 9600), (24_000, 7200), (44_100, 13_230)])
def test_the_zeros_after_a_reference_are_counted_at_the_rate_of_s2(rate, zeros):
    assert appended_zeros(rate) == zeros


def test_a_lora_finds_its_base_beside_the_other_weights_too(tmp_path):
    base = acoustic_file("v4", TINY)
    rest = ("ref_enc.", "bridge.", "wns1.", "linear_mel.", "quantizer.")
    weights = {name: value for name, value in base["weight"].items() if name.startswith(rest)}
    at = "cfm.base_model.model.estimator.transformer_blocks.0.attn.to_q"
    weights[f"{at}.lora_A.default.weight"] = torch.ones(2, TINY.dit).half()
    weights[f"{at}.lora_B.default.weight"] = torch.ones(TINY.dit, 2).half()
    save(tmp_path / "s2Gv4.pth", base)
    save(tmp_path / "own.pth", {**base, "weight": weights, "lora_rank": 2}, b"04")
    networks = Networks(Release.at(tmp_path))
    tuned, plain = (
        networks.acoustics(tmp_path / name).model.dit.transformer_blocks[0].attn.to_q.weight
        for name in ("own.pth", "s2Gv4.pth")
    )
    assert torch.allclose(tuned, plain + 2, atol=1e-3)  # B @ A of ones, rank 2


def test_bigvgan_may_have_blocks_of_single_convolutions():
    config = {
        "resblock": "2", "upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4], "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 2]], "activation": "snake",
        "snake_logscale": False, "num_mels": 100,
    }  # fmt: skip
    net = BigVgan(config).eval()
    names = net.state_dict()
    assert "resblocks.0.convs.1.weight" in names
    assert not any("convs1" in name or name.endswith("beta") for name in names)
    with torch.inference_mode():
        assert net(torch.randn(1, 100, 5)).shape == (1, 1, 40)


def test_samples_beyond_the_last_frame_are_left_out(tmp_path):
    made = acoustic_file("v2", TINY)
    model = made["config"]["model"]
    rates, kernels = model["upsample_rates"], [17, *model["upsample_kernel_sizes"][1:]]  # 17 - 10 is odd
    model |= {"upsample_kernel_sizes": kernels}
    up = made["weight"]["dec.ups.0.weight_v"]
    made["weight"]["dec.ups.0.weight_v"] = torch.randn(*up.shape[:2], kernels[0]).half()
    save(tmp_path / "odd.pth", made)
    acoustics = Networks(Release.at(tmp_path)).acoustics(tmp_path / "odd.pth")
    sound = Sound(torch.zeros(3, dtype=torch.long), torch.randn(1, TINY.gin, 1), None)
    batch = [Utterance(torch.arange(count), torch.arange(4)) for count in (5, 3)]
    with torch.inference_mode():
        longer = acoustics.model.decode(batch[0].tokens[None], batch[0].phones[None], sound.style, torch.randn)
    assert longer.shape[-1] > 5 * 2 * math.prod(rates)
    waves = render(acoustics, ClonedVoice(sound, None), batch, Manner(), torch.randn)
    assert [len(wave) for wave in waves] == [5 * 1280, 3 * 1280]
