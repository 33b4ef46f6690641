"""Text -> ids, for each generation."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hub.contract.errors import WorkerStartFailed
from hub_cosyvoice.config import Config


class Tokenizer(Protocol):
    """A text tokenizer. It holds no state of a text, so one serves all requests."""

    size: int
    """The number of ids, including those of control tokens."""
    end_of_prompt: int | None
    """The id of `<|endofprompt|>`; None in the first generation, where it is ordinary text."""

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """The ids of `text`. Tags that a text may have, such as [laughter], become their own ids.

        Tokens that steer the model, such as <|im_start|>, are ordinary text unless `control` is set, so that no text of
        a caller can steer it.
        """
        ...


def load_tokenizer(folder: Path, config: Config) -> Tokenizer:
    """The tokenizer that the checkpoint's yaml names."""
    name = config.tokenizer.name
    if name == "cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer":
        from hub_cosyvoice.tokenizer.qwen import QwenTokenizer

        version = config.tokenizer.get("version", "cosyvoice2")
        return QwenTokenizer(folder / "CosyVoice-BlankEN", with_phones=version == "cosyvoice3")
    from hub_cosyvoice.tokenizer.whisper import WhisperTokenizer

    vocabularies = {
        "whisper.tokenizer.get_tokenizer": "multilingual",
        "cosyvoice.tokenizer.tokenizer.get_tokenizer": "multilingual_zh_ja_yue_char_del",
    }
    if name not in vocabularies:
        raise WorkerStartFailed(f"{config.file} names {name} as its tokenizer, which is not one of CosyVoice's")
    return WhisperTokenizer(vocabularies[name], languages=int(config.tokenizer.get("num_languages", 99)))
