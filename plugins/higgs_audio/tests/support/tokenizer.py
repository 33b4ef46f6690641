"""A tokenizer of Higgs Audio's form, without merges."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
    *("<|audio_bos|>", "<|audio_eos|>", "<|audio_out_bos|>", "<|reserved_special_token_6|>", "<|AUDIO|>"),
    *("<|AUDIO_OUT|>", "<|scene_desc_start|>", "<|scene_desc_end|>"),
    *("<SE>", "</SE>", "<SE_s>", "</SE_s>", "<SE_e>", "</SE_e>"),
)


def tokenizer() -> Tokenizer:
    """Bytes, and the control tokens that prompts are made of."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made
