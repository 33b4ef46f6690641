"""The text tokenizer, and the control tokens that prompts are made of, by their names."""

from __future__ import annotations

from tokenizers import Tokenizer

from hub_higgs_audio.layout import CheckpointRefused


class HiggsTokenizer:
    """Text <-> ids. Control tokens are attributes; their ids come from the tokenizer's file."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.begin_of_text = self._id("<|begin_of_text|>")
        self.end_of_text = self._id("<|end_of_text|>")
        self.start_header = self._id("<|start_header_id|>")
        self.end_header = self._id("<|end_header_id|>")
        self.end_of_message = self._id("<|eom_id|>")
        self.end_of_turn = self._id("<|eot_id|>")
        self.audio_bos = self._id("<|audio_bos|>")
        self.audio_eos = self._id("<|audio_eos|>")
        self.audio_out_bos = self._id("<|audio_out_bos|>")
        self.audio = self._id("<|AUDIO|>")
        self.audio_out = self._id("<|AUDIO_OUT|>")

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, in which the name of a control token is that token; nothing is added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, control tokens by their names."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _id(self, name: str) -> int:
        found = self._tokenizer.token_to_id(name)
        if found is None:
            raise CheckpointRefused(
                f"tokenizer.json has no token {name}; it belongs to another model than Higgs Audio v2", token=name
            )
        return int(found)
