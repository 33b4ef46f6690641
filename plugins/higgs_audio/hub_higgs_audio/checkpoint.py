"""Loading the language model and the codec, each from either published layout into the same modules.

The layouts of a configuration and of its weights are recognised separately, because a folder may mix them. A setting
that the modules here do not implement is refused by name, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from hub.nn.layout import laid_out
from hub.nn.weights import fold_weight_norm, load_state, load_strict
from hub_higgs_audio.layout import CONFIG, CheckpointRefused, Part
from hub_higgs_audio.model.codec import Codec, CodecNet
from hub_higgs_audio.model.language import Adapter, AudioPath, LanguageModel
from hub_higgs_audio.model.shape import CodecShape
from hub_higgs_audio.tokenizer import HiggsTokenizer

_TEXT: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "attention_bias": False,
    "mlp_bias": False,
}
"""Keys that boson's `text_config` and transformers' configuration share, with Llama's defaults, which are boson's."""

_COMPUTED = {
    "audio_decoder_proj_num_layers": 0,
    "use_rq_transformer": False,
    "skip_audio_tower": True,
    "encode_whisper_embed": False,
    "use_delay_pattern": True,
    "encode_audio_in_tokens": True,
}
"""boson's switches, each with the only value that is implemented here: the released model's."""

_PATHS: dict[str, AudioPath] = {"dual_ffn": "shared", "dual_ffn_fast_forward": "bypass", "stack": "shared"}
"""boson's `audio_adapter_type` -> the path of audio through a layer that is not in `audio_dual_ffn_layers`."""

_AUDIO_PARTS = ("audio_mlp", "audio_input_layernorm", "audio_post_attention_layernorm")
"""The modules that only a layer with a dual FFN has."""

LANGUAGE_KEYS = (
    (re.compile(r"^(embed_tokens|layers|norm)\."), r"model.\1."),
    (re.compile(r"^audio_codebook_embeddings\."), "model.embed_audio_tokens.embed_audio_tokens."),
    (re.compile(r"^audio_decoder_proj\.(audio_lm_head|text_lm_head)\."), r"\1."),
)
"""boson's names of the language model's weights -> transformers'."""

_CODEC_UNUSED = ("decoder_semantic.", "fc1.", "semantic_model.masked_spec_embed")
_CODEBOOK_UNUSED = (".codebook.inited", ".codebook.cluster_size", ".codebook.embed_avg")


def language_config(part: Part) -> HiggsAudioV2Config:
    """transformers' configuration of the language model. Raises CheckpointRefused for settings not implemented here."""
    given = part.config
    if given.get("model_type") == "higgs_audio_v2":
        _same_codebooks(given)
        return _config(**{key: value for key, value in given.items() if key != "architectures"})
    text = given.get("text_config")
    if not isinstance(text, dict):
        raise CheckpointRefused(f"{CONFIG} has no text_config; it is not a configuration of Higgs Audio v2")
    _check_switches(given)
    mapped: dict[str, Any] = {key: default if text.get(key) is None else text[key] for key, default in _TEXT.items()}
    mapped["num_key_value_heads"] = mapped["num_key_value_heads"] or mapped["num_attention_heads"]
    mapped["head_dim"] = mapped["head_dim"] or mapped["hidden_size"] // mapped["num_attention_heads"]
    rope = dict(text.get("rope_scaling") or {"rope_type": "default"})
    return _config(
        **mapped,
        rope_parameters={**rope, "rope_theta": text.get("rope_theta", 10000.0)},
        num_codebooks=given.get("audio_num_codebooks", 12),
        codebook_size=given.get("audio_codebook_size", 1024) + 2,  # transformers counts the rows of BOS and EOS
        audio_stream_bos_id=given.get("audio_stream_bos_id", 1024),
        audio_stream_eos_id=given.get("audio_stream_eos_id", 1025),
        audio_token_id=0,  # only transformers' own loop uses these three; here the tokenizer has them
        audio_bos_token_id=0,
        audio_delay_token_id=0,
        eos_token_id=None,  # the tokenizer has it
        pad_token_id=given.get("pad_token_id"),
        tie_word_embeddings=False,  # boson's configuration says tied, yet its files have both heads
    )


def _config(**values: Any) -> HiggsAudioV2Config:
    """A configuration of these values.

    transformers checks that the heads divide the hidden width. Heads with a width of their own need not do so; their
    number is set after the check.
    """
    heads = values.get("num_attention_heads")
    if not heads or not values.get("head_dim") or values.get("hidden_size", 0) % heads == 0:
        return HiggsAudioV2Config(**values)
    config = HiggsAudioV2Config(**{**values, "num_attention_heads": 1, "num_key_value_heads": 1})
    config.num_attention_heads = heads
    config.num_key_value_heads = values.get("num_key_value_heads") or heads
    return config


def adapter_of(part: Part) -> Adapter:
    """The paths of audio through the layers. Raises CheckpointRefused."""
    given = part.config
    if given.get("model_type") == "higgs_audio_v2":
        return Adapter()
    layers = int(given["text_config"].get("num_hidden_layers") or _TEXT["num_hidden_layers"])
    kind = given.get("audio_adapter_type", "stack")
    if kind not in _PATHS:
        raise CheckpointRefused(
            f"{CONFIG}: audio_adapter_type is {kind!r}; this backend implements {', '.join(_PATHS)}",
            key="audio_adapter_type",
        )
    dual = () if kind == "stack" else given.get("audio_dual_ffn_layers") or ()
    return Adapter(
        paths=tuple("dual" if layer in dual else _PATHS[kind] for layer in range(layers)),
        averaged=bool(given.get("audio_embed_avg")),
        projected=bool(given.get("use_audio_out_embed_projector")),
        attention=bool(given.get("use_audio_out_self_attention")),
    )


def _check_switches(given: Mapping[str, Any]) -> None:
    for key, value in _COMPUTED.items():
        if (given.get(key, value) or 0) != (value or 0):
            raise CheckpointRefused(
                f"{CONFIG}: {key} is {given[key]!r}; this backend implements only {value!r}", key=key
            )


def _same_codebooks(given: Mapping[str, Any]) -> None:
    bos, eos, size = (given.get(key) for key in ("audio_stream_bos_id", "audio_stream_eos_id", "codebook_size"))
    if not isinstance(size, int) or not {bos, eos} <= set(range(size)):
        raise CheckpointRefused(
            f"{CONFIG}: audio_stream_bos_id {bos} and audio_stream_eos_id {eos} are not rows of a codebook of {size}; "
            "codebook_size counts them",
            key="codebook_size",
        )


def language_state(folder: Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """The language model's weights of either layout, by transformers' names."""
    state = load_state(folder, device=device)
    renamed: dict[str, Tensor] = {}
    for key, value in _joined(state).items():
        name = key
        for pattern, replacement in LANGUAGE_KEYS:
            name = pattern.sub(replacement, name)
        renamed[name] = value
    return renamed


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state`, with the tables joined that fine-tuning had split into a frozen and a trained part."""
    joined: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(("_trainable", "_trainable.weight")):
            continue
        head, frozen, tail = key.rpartition("_frozen")
        if frozen and (rest := state.get(head + "_trainable" + tail)) is not None:
            joined[head.rpartition(".")[0] + ".weight"] = torch.cat([value, rest])
        else:
            joined[key] = value
    return joined


def load_language(part: Part, device: torch.device, dtype: torch.dtype) -> LanguageModel:
    """The language model on `device`. Audio needs no text head, so a checkpoint may lack it.

    Raises CheckpointRefused, or CheckpointError naming file and key.
    """
    config, adapter = language_config(part), adapter_of(part)
    state = language_state(part.folder, device)
    with torch.device("meta"):
        net = HiggsAudioV2ForConditionalGeneration(config, use_text_head="text_lm_head.weight" in state)
        _adapt(net, adapter)
    load_strict(net, {key: value.to(dtype) for key, value in state.items()}, "the language model's weights")
    for layer, path in zip(net.model.layers, adapter.paths_through(len(net.model.layers)), strict=True):
        mlp = layer.audio_mlp if path == "dual" else layer.mlp
        for linear in (
            mlp.gate_proj,
            mlp.up_proj,
        ):  # part of every step, with more outputs than inputs
            linear.weight = nn.Parameter(laid_out(linear.weight), requires_grad=False)
    return LanguageModel(net, device, dtype, adapter)


def _adapt(net: Any, adapter: Adapter) -> None:
    """Change transformers' modules, which are the released model's, as `adapter` says, with boson's names."""
    config = net.config
    if adapter.projected:
        net.audio_out_embed_projector = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
    paths = adapter.paths_through(len(net.model.layers))
    for number, (layer, path) in enumerate(zip(net.model.layers, paths, strict=True)):
        if path != "dual":
            for name in _AUDIO_PARTS:
                delattr(layer, name)
        elif adapter.attention:
            layer.audio_attn = type(layer.self_attn)(config, number)
            norm = type(layer.input_layernorm)(config.hidden_size, eps=config.rms_norm_eps)
            layer.audio_post_audio_attn_layer_norm = norm


def load_tokenizer(part: Part) -> HiggsTokenizer:
    """The text tokenizer. Raises CheckpointRefused."""
    file = part.folder / "tokenizer.json"
    if not file.is_file():
        raise CheckpointRefused(f"{file.name} is missing beside the language model; fetch it again")
    return HiggsTokenizer(Tokenizer.from_file(str(file)))


def codec_state(folder: Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """The codec's weights by transformers' names, weight norms folded, without those that only training needs."""
    file = folder / "model.pth"
    only_pth = file.is_file() and not (folder / "model.safetensors").is_file()
    state = fold_weight_norm(load_state(file if only_pth else folder, device=device))
    if any(key.startswith("decoder_2.") for key in state):
        blocks = 1 + max(int(found[1]) for key in state if (found := re.match(r"encoder\.block\.(\d+)\.block\.", key)))
        state = {codec_name(key, blocks - 1): value for key, value in state.items()}
    return {
        key: value
        for key, value in state.items()
        if not key.startswith(_CODEC_UNUSED) and not key.endswith(_CODEBOOK_UNUSED)
    }


def codec_name(key: str, blocks: int) -> str:
    """transformers' name of boson's codec weight `key`. `blocks` counts the strided blocks."""
    for ours, theirs in (("encoder.block.", "acoustic_encoder."), ("decoder_2.model.", "acoustic_decoder.")):
        if key.startswith(ours):
            return theirs + _dac_name(key.removeprefix(ours), blocks, decoder=ours.startswith("decoder"))
    for pattern, replacement in (
        (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.quantizers.\1.codebook."),
        (r"^quantizer\.vq\.layers\.", "quantizer.quantizers."),
        (r"^fc_prior\.", "fc."),
        (r"^fc_post(\d)\.", r"fc\1."),
        (r"^((?:en|de)coder_semantic\..*\bconv[12]?)\.conv\.", r"\1."),
    ):
        key, changed = re.subn(pattern, replacement, key)
        if changed:
            return key
    return key


def _dac_name(rest: str, blocks: int, *, decoder: bool) -> str:
    """A name within the DAC encoder or decoder: boson numbers the layers, transformers names them."""
    number, _, rest = rest.partition(".")
    if (index := int(number)) in (0, blocks + 1, blocks + 2):
        return {0: "conv1", blocks + 1: "snake1", blocks + 2: "conv2"}[index] + "." + rest
    _, inner, rest = rest.split(".", 2)
    units = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
    if not decoder:
        units = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
    unit = units[int(inner)]
    if unit.startswith("res_unit"):
        _, layer, rest = rest.split(".", 2)
        unit += "." + ("snake1", "conv1", "snake2", "conv2")[int(layer)]
    return f"block.{index - 1}.{unit}.{rest}"


def load_codec(part: Part, device: torch.device) -> Codec:
    """The codec, in float32. Raises CheckpointRefused, or CheckpointError naming file and key."""
    state = codec_state(part.folder, device)
    shape = CodecShape.of(part.config, state)
    unused = re.compile(r"quantizer\.quantizers\.(\d+)\.")
    state = {k: v for k, v in state.items() if not (q := unused.match(k)) or int(q[1]) < shape.codebooks}
    with torch.device("meta"):
        net = CodecNet(shape)
    load_strict(net, {key: value.float() for key, value in state.items()}, "the codec's weights")
    return Codec(net, shape, device)
