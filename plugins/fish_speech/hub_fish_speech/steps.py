"""The vendor's three steps, one by one: a recording -> codes, a text -> codes, codes -> sound. Imports torch.

Codes are `.npy` files of (C, T) integers, as the vendor's own tools write and read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hub.audio.encode import encode_whole
from hub.contract.errors import InvalidRequest
from hub.contract.speech import AudioFormat, Sampling
from hub.nn.sampling import request_generator
from hub_fish_speech.checkpoint import load_language_model
from hub_fish_speech.codec import Codec, load_codec
from hub_fish_speech.prompt import Example, Past, Prompter
from hub_fish_speech.references import encode
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import RequestNoise, Session
from hub_fish_speech.speaking import Limits
from hub_fish_speech.text import segments_of
from hub_fish_speech.variants import Variant

FRAME_RATE = 44_100 / 2048
"""Frames a second, of every release."""

Codes = npt.NDArray[np.int64]
"""(C, T)."""


def read_codes(path: Path) -> Codes:
    """The codes in a `.npy` file. Raises InvalidRequest for anything that is none; OSError."""
    try:
        codes = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        codes = np.zeros(0)
    if codes.ndim == 3 and codes.shape[0] == 1:
        codes = codes[0]
    if codes.ndim != 2 or not codes.size or codes.dtype.kind not in "iu" or codes.min() < 0:
        raise InvalidRequest(f"{path.name} has no codes: it must be a .npy of whole numbers, codebooks by frames")
    return codes.astype(np.int64)


def encode_recording(codec_path: Path, audio: bytes, device: str) -> Codes:
    """The codes of a sound file. Raises CheckpointError, InvalidAudio."""
    return encode(audio, load_codec(codec_path, _device(device))).numpy()


def decode_codes(codec_path: Path, codes: Codes, format: AudioFormat, device: str) -> tuple[bytes, float]:
    """The sound of codes as a file, and its seconds. Raises CheckpointError, InvalidRequest."""
    codec = load_codec(codec_path, _device(device))
    samples = codec.decode(_fitting(codec, codes)).numpy()
    return encode_whole(format, codec.sample_rate, samples), len(samples) / codec.sample_rate


def generate_codes(
    checkpoint: Path,
    text: str,
    prompts: Sequence[tuple[str, Codes]],
    *,
    sampling: Sampling,
    seed: int | None,
    samples: int = 1,
    chunk_length: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
) -> Iterator[Codes]:
    """Codes of `text`, spoken as the `prompts` (a transcript and its codes each), `samples` times.

    Each is drawn with a seed of its own, from `seed` upwards. Raises CheckpointError, InvalidRequest.
    """
    place = _device(device)
    if dtype == "auto":
        dtype = "bfloat16" if place.type == "cuda" else "float32"
    language = load_language_model(checkpoint, place, getattr(torch, dtype))
    if compile:
        language.model.compile_layers()
    variant, books = language.variant, language.config.codebooks
    for _, codes in prompts:
        if codes.shape[0] < books:
            raise InvalidRequest(f"the prompt's codes have {codes.shape[0]} codebooks, this model has {books}")
    examples = [Example(said, torch.from_numpy(codes[:books])) for said, codes in prompts]
    prompter = Prompter(variant, language.tokenizer, books)
    draws = Draws(
        temperature=_given(sampling.temperature, variant.temperature),
        top_p=_given(sampling.top_p, variant.top_p),
        repetition_penalty=_given(sampling.repetition_penalty, variant.repetition_penalty),
        top_k=variant.top_k or None,
    )
    limits = Limits(sampling.max_new_tokens or 0, 1.0)
    for number in range(samples):
        noise = RequestNoise(request_generator(None if seed is None else seed + number, place))
        session, history = Session(language), list[Past]()
        for segment in segments_of(text, variant, chunk_length or variant.chunk_length):
            prompt = prompter.prompt(segment.text, examples, _past(variant, examples, history))
            blocks = list(session.frames(prompt, draws, noise, limits.of(segment.text, FRAME_RATE)))
            if not blocks:
                raise InvalidRequest("prompts and text leave no room for speech: give shorter or fewer prompts")
            history.append(Past(segment.text, torch.cat(blocks, 1)))
        yield torch.cat([prompter.kept(past.frames) for past in history], 1).numpy()


def _past(variant: Variant, examples: list[Example], history: list[Past]) -> list[Past]:
    """What is read again: S1 reads its references, and where there are none, the first segment as one."""
    return history if variant.name != "s1" else [] if examples else history[:1]


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _fitting(codec: Codec, codes: Codes) -> torch.Tensor:
    if codes.shape[0] < codec.codebooks:
        raise InvalidRequest(f"the codes have {codes.shape[0]} codebooks, this codec has {codec.codebooks}")
    return torch.from_numpy(codes)


def _device(name: str) -> torch.device:
    """Raises InvalidRequest for a GPU that there is not."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidRequest(f"this machine has no GPU that torch can use: --device {name} cannot be had")
    return torch.device(name)
