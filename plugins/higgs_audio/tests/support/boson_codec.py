"""A codec in boson's layout."""

import json

import torch
from safetensors.torch import load_file


def write_boson_codec(folder, source, size):
    """The codec in `source`, of transformers' layout, in boson's: its names, weight norms and configuration."""
    state = load_file(source / "model.safetensors")
    renamed = {}
    for key, value in state.items():
        if (key.startswith("acoustic_") and key.endswith("conv1.weight")) or (
            "conv" in key and key.startswith("acoustic_") and key.endswith(".weight")
        ):
            direction = value * 2
            name = boson_name(key.removesuffix(".weight"), len(size.ratios))
            renamed[name + ".weight_g"] = value.flatten(1).norm(dim=1).view(-1, 1, 1)
            renamed[name + ".weight_v"] = direction
        elif key == "semantic_model.encoder.pos_conv_embed.conv.weight":
            name = "semantic_model.encoder.pos_conv_embed.conv.parametrizations.weight.original"
            renamed[name + "0"] = value.norm(dim=(0, 1), keepdim=True)
            renamed[name + "1"] = value * 3
        else:
            renamed[boson_name(key, len(size.ratios))] = value
    renamed["fc_post1.weight"] = torch.zeros(2, 2)
    renamed["decoder_semantic.conv1.conv.weight"] = torch.zeros(2, 2, 3)
    renamed["quantizer.vq.layers.0._codebook.inited"] = torch.ones(1)
    folder.mkdir()
    torch.save(renamed, folder / "model.pth")
    config = {
        "n_filters": 32,
        "D": size.acoustic,
        "codebook_dim": size.codebook_dim,
        "target_bandwidths": [0.5, 1, 1.5, 2, 4],
        "ratios": list(size.ratios),
        "sample_rate": 24_000,
        "bins": size.codebook_size,
        "n_q": size.codebooks,
        "semantic_techer": "hubert_base_general",
    }
    (folder / "config.json").write_text(json.dumps(config))


def boson_name(key, blocks):
    """boson's name of the weight `key`, which has no `.weight` if it is normed. `blocks` counts the strided blocks."""
    units = {
        "acoustic_encoder": ("encoder.block", ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")),
        "acoustic_decoder": ("decoder_2.model", ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")),
    }
    part, _, rest = key.partition(".")
    if part in units:
        prefix, order = units[part]
        outer = {"conv1": 0, "snake1": blocks + 1, "conv2": blocks + 2}
        first, *more = rest.split(".")
        if first in outer:
            return ".".join([prefix, str(outer[first]), *more])
        number, unit, *more = more
        name = f"{prefix}.{int(number) + 1}.block.{order.index(unit)}"
        if unit.startswith("res_unit"):
            layer, *more = more
            name += f".block.{('snake1', 'conv1', 'snake2', 'conv2').index(layer)}"
        return ".".join([name, *more])
    if part == "quantizer":
        return key.replace("quantizers", "vq.layers").replace(".codebook.", "._codebook.")
    if part in ("fc", "fc2"):
        return {"fc": "fc_prior", "fc2": "fc_post2"}[part] + "." + rest
    if part == "encoder_semantic":
        return (
            key.replace("conv.weight", "conv.conv.weight")
            .replace("conv.bias", "conv.conv.bias")
            .replace("conv1.weight", "conv1.conv.weight")
        )
    return key
