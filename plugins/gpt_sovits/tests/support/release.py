"""Release folders with random weights, in the official layout and of any size.

write_release(folder, "v2", TINY)      # takes a second, writes a few megabytes
write_release(folder, "v2Pro", FULL)   # the sizes of the released weights
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from hub_gpt_sovits.checkpoint import V1_SYMBOLS, Version
from hub_gpt_sovits.layout import BERT, BIGVGAN, HUBERT, PRETRAINED, SPEAKER, V4_VOCODER
from hub_gpt_sovits.model.bigvgan import TAPS, BigVgan
from hub_gpt_sovits.model.hifigan import HifiGan
from hub_gpt_sovits.model.pretrained import HUBERT_DEFAULTS, BertNet, HubertNet
from hub_gpt_sovits.networks import BLOCK_DILATIONS, BLOCK_KERNELS, V4_KERNELS, V4_RATES
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from plugins.gpt_sovits.tests.support.weights import (
    MEL,
    SYMBOLS,
    Sizes,
    acoustic_file,
    drawn,
    save,
    scattered,
    semantic_file,
    with_weight_norm,
)


def write_release(folder: Path, version: Version, sizes: Sizes, *, seed: int = 0, characters: str = "") -> Path:
    """Write all that `version` needs into `folder`. BERT knows ASCII and `characters`, by default common ones."""
    torch.manual_seed(seed)
    s1, s2 = PRETRAINED[version]
    save(folder / s1, semantic_file(sizes, V1_SYMBOLS if version == "v1" else SYMBOLS))
    save(folder / s2, acoustic_file(version, sizes))
    write_hubert(folder / HUBERT, sizes)
    write_bert(folder / BERT, sizes, characters)
    if "Pro" in version:
        save(folder / SPEAKER, scattered(speaker_shapes(sizes.speaker_stem)))
    if version == "v4":
        save(folder / V4_VOCODER, v4_vocoder(sizes).state_dict())
    if version == "v3":
        write_bigvgan(folder / BIGVGAN, sizes.bigvgan)
    return folder


def speaker_shapes(stem: int) -> dict[str, tuple[int, ...]]:
    """ERes2NetV2 w24 s4 ep4, as the file has it."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (stem, 1, 3, 3), **_norm("bn1", stem)}
    before = stem
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        planes = stem * 2 ** (stage - 1)
        width, out = planes * 24 // 64, 4 * planes
        for number in range(blocks):
            at = f"layer{stage}.{number}"
            shapes |= {f"{at}.conv1.weight": (4 * width, before, 1, 1), **_norm(f"{at}.bn1", 4 * width)}
            for split in range(4):
                shapes |= {f"{at}.convs.{split}.weight": (width, width, 3, 3), **_norm(f"{at}.bns.{split}", width)}
                if stage > 2 and split < 3:
                    shapes |= _fusion(f"{at}.fuse_models.{split}", width)
            shapes |= {f"{at}.conv3.weight": (out, 4 * width, 1, 1), **_norm(f"{at}.bn3", out)}
            if number == 0:
                shapes |= {f"{at}.shortcut.0.weight": (out, before, 1, 1), **_norm(f"{at}.shortcut.1", out)}
            before = out
    shapes |= {"layer3_ds.weight": (before, before // 2, 3, 3), **_fusion("fuse34", before)}
    return {**shapes, "seg_1.weight": (192, 2 * before * 10), "seg_1.bias": (192,)}


def _fusion(at: str, channels: int) -> dict[str, tuple[int, ...]]:
    inner, at = channels // 4, f"{at}.local_att"
    return {
        f"{at}.0.weight": (inner, 2 * channels, 1, 1),
        f"{at}.0.bias": (inner,),
        **_norm(f"{at}.1", inner),
        f"{at}.3.weight": (channels, inner, 1, 1),
        f"{at}.3.bias": (channels,),
        **_norm(f"{at}.4", channels),
    }


def _norm(at: str, channels: int) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{at}.{name}": (channels,) for name in names}, f"{at}.num_batches_tracked": ()}


def v4_vocoder(sizes: Sizes) -> HifiGan:
    """v4's vocoder, freshly initialised."""
    return HifiGan(
        MEL,
        width=sizes.vocoder,
        rates=V4_RATES,
        kernels=V4_KERNELS,
        block_kernels=BLOCK_KERNELS,
        block_dilations=BLOCK_DILATIONS,
        bias_at_end=True,
    )


def write_bigvgan(folder: Path, width: int) -> None:
    """BigVGAN v2 24 kHz, `config.json` and weights."""

    config = {
        "resblock": "1",
        "upsample_rates": [4, 4, 2, 2, 2, 2],
        "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
        "upsample_initial_channel": width,
        "resblock_kernel_sizes": list(BLOCK_KERNELS),
        "resblock_dilation_sizes": [list(one) for one in BLOCK_DILATIONS],
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
        "activation": "snakebeta",
        "snake_logscale": True,
        "num_mels": MEL,
        "hop_size": 256,
        "sampling_rate": 24000,
    }
    weights = BigVgan(config).state_dict()
    taps = torch.hann_window(TAPS, periodic=False)
    weights = {
        name: (taps / taps.sum())[None, None] if name.endswith("filter") else value for name, value in weights.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save(folder / "bigvgan_generator.pt", {"generator": with_weight_norm(weights, ("conv", "ups"))})


def write_hubert(folder: Path, sizes: Sizes) -> None:
    """HuBERT, its positional convolution weight-normed over the kernel, under torch's old names."""
    config = {
        **HUBERT_DEFAULTS,
        "hidden_size": sizes.semantic,
        "num_hidden_layers": sizes.hubert_layers,
        "num_attention_heads": 12 if sizes.semantic % 12 == 0 else 4,
        "intermediate_size": sizes.hubert_inner,
        "conv_dim": [sizes.hubert_conv] * 7,
    }
    state = HubertNet(config).state_dict()
    weight = state.pop("encoder.pos_conv_embed.conv.weight")
    state["encoder.pos_conv_embed.conv.weight_g"] = weight.norm(dim=(0, 1), keepdim=True)
    state["encoder.pos_conv_embed.conv.weight_v"] = weight
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save(folder / "pytorch_model.bin", {**state, "masked_spec_embed": torch.zeros(sizes.semantic)})


def write_bert(folder: Path, sizes: Sizes, characters: str = "") -> None:
    """Chinese RoBERTa. Its tokenizer knows ASCII, punctuation and `characters`, by default common Chinese ones."""
    common = [chr(code) for code in range(0x4E00, 0x9FA6)] if not characters else list(characters)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(33, 127)), *"，。？！：；、…", *common]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    config = {
        "vocab_size": len(vocabulary),
        "hidden_size": sizes.bert,
        "num_hidden_layers": sizes.bert_layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.bert_inner,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }
    state = drawn(BertNet(config, sizes.bert_layers))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save(folder / "pytorch_model.bin", {f"bert.{name}": value for name, value in state.items()})
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
