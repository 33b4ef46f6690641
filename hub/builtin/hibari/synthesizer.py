"""The worker side of the hibari backend."""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from hibari import SAMPLE_RATE, Hibari
from hibari.voices import DEFAULT, VOICES, voice_path
from msgspec import Meta, Struct

from hub.builtin.hibari import HibariOptions
from hub.builtin.hibari.text import check_readable, pieces, spelled
from hub.contract.backend import ModelConfig, Stop
from hub.contract.errors import (
    InvalidRequest,
    UnknownVoice,
    UnspeakableText,
    UnsupportedCapability,
    WorkerStartFailed,
)
from hub.contract.event import AudioChunk, Mark, Span
from hub.contract.options import load_options, request_options
from hub.contract.speech import ResolvedRequest
from hub.contract.voice import Voice, VoiceDraft
from hub.text.sentences import split_sentences
from hub.text.speakable import nothing_to_speak

log = logging.getLogger("hub.builtin.hibari")

SPEEDS = (0.5, 2.0)
"""The range of speeds that the model was trained for."""

FIRST_PIECE, PIECE = 120, 240
"""Characters spoken in one step: few at first, for a quick start, then enough for most sentences."""

MAX_PHONEMES = 300
"""Most phonemes for the model in one step, about 18 s of audio. It could take more, at the cost of memory."""

CHUNK = SAMPLE_RATE
"""Most samples in one AudioChunk: 1 s."""

SILENCE, PAUSE = 0.002, round(0.07 * SAMPLE_RATE)
"""If a sentence is cut, silence around the cut (below SILENCE) is shortened to PAUSE samples on each side."""

_NO_SOUND = frozenset(';:,.!?—…"()“” ˈˌːʰʲ↓→↗↘\u0303')
"""Phoneme characters without a sound of their own."""

_INLINE = re.compile(r"\[([^\]]+)\]\(/([^)]*)/\)")
"""`[word](/phonemes/)`, as hibari's reader parses it."""

Wave = npt.NDArray[np.float32]


class HibariLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    threads: Annotated[
        int, Meta(ge=1, le=64, description="threads within one step; parallel speak calls gain more")
    ] = 1


class HibariSynthesizer:
    """Speaks sentence by sentence. The models are stateless, so calls run in parallel."""

    def __init__(self) -> None:
        self.concurrency = max(2, min(4, os.cpu_count() or 1))
        self._speakers: dict[str, Any] = {}  # voice -> Hibari
        self._threads = 1
        self._lock = threading.Lock()
        self._alphabet: frozenset[str] = frozenset()

    def load(self, model: ModelConfig) -> None:
        """Load the default voice and speak a word, so that everything is warm for the first request."""
        _refuse_unsupported_settings(model)
        self._threads = load_options(model, HibariLoadOptions).threads
        speaker = self._speaker(DEFAULT)
        self._alphabet = frozenset(speaker.g2p.oov.cin)
        speaker("Zyxwv.", seed=0)  # in no dictionary: loads the reader of unknown words too

    def voices(self) -> list[Voice]:
        """Return the voices whose weights are on this machine; hibari would download the others."""
        return [
            Voice(
                id=name,
                name=name.title(),
                languages=(facts["language"],),
                tags=(facts["gender"], facts["accent"].lower()),
                default=name == DEFAULT,
            )
            for name, facts in VOICES.items()
            if _is_here(name)
        ]

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Raise UnsupportedCapability: hibari cannot clone voices."""
        raise UnsupportedCapability("the hibari backend cannot clone voices", capability="cloning")

    def close(self) -> None:
        """Drop the models."""
        self._speakers.clear()

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark]:
        """Yield each sentence in chunks of up to a second, then its mark."""
        options = _checked_options(request)
        text = request.text or ""
        if not text.strip():
            raise nothing_to_speak(blank=True)
        speaker = self._speaker(request.voice or DEFAULT)
        self._check(speaker, text, options.inline_phonemes)
        spoken, step = 0, 0
        for sentence, start, end in split_sentences(text):
            begin = spoken
            first_piece = PIECE if spoken else FIRST_PIECE
            for phonemes, span, is_first, is_last in self._steps(speaker, text, start, end, first_piece, options):
                if stop.is_set():
                    return
                noise = np.random.default_rng(None if request.seed is None else [request.seed, step])
                wave: Wave = speaker.from_ids(speaker.ids(phonemes), request.speed, noise)
                wave = _shorten_pauses(wave, before=not is_first, after=not is_last)
                for part in np.array_split(wave, math.ceil(len(wave) / CHUNK)):
                    if stop.is_set():
                        return
                    yield AudioChunk.of(part, SAMPLE_RATE, span)
                step += 1
                spoken += len(wave)
            if spoken > begin:
                times = begin / SAMPLE_RATE, spoken / SAMPLE_RATE
                yield Mark(kind="sentence", start=times[0], end=times[1], text=sentence, span=(start, end))
        if not spoken:
            raise nothing_to_speak(blank=False)

    def _steps(
        self, speaker: Any, text: str, start: int, end: int, first_piece: int, options: HibariOptions
    ) -> Iterator[tuple[str, Span, bool, bool]]:
        """Yield the steps of one sentence: (phonemes, their span, whether they begin it, whether they end it)."""
        is_first = True
        for span in pieces(text, start, end, first_piece, PIECE):
            parts = self._phonemes(speaker, text[slice(*span)], options.inline_phonemes)
            for number, phonemes in enumerate(parts, 1):
                yield phonemes, span, is_first, span[1] == end and number == len(parts)
                is_first = False

    def _speaker(self, voice: str) -> Any:
        with self._lock:
            if voice not in self._speakers:
                if voice not in VOICES or not _is_here(voice):
                    here = ", ".join(voice.id for voice in self.voices())
                    raise UnknownVoice(
                        f"the hibari backend has no voice {voice!r} on this machine; it has {here}", voice=voice
                    )
                speaker = Hibari(voice=voice, threads=self._threads)
                self._speakers[voice] = speaker
                speaker.g2p  # noqa: B018  loads its dictionaries, which must not happen in two threads
            return self._speakers[voice]

    def _check(self, speaker: Any, text: str, inline: bool) -> None:
        """Raise InvalidRequest if any part of `text` cannot be read, before any of it is spoken."""
        if inline:
            for link in _INLINE.finditer(text):
                if strange := set(link.group(2)) - set(speaker.vocab):
                    raise InvalidRequest(f"the model has no phoneme {min(strange)!r}, as in {link.group()[:40]!r}")
            text = _INLINE.sub(lambda link: " " * len(link.group()), text)
        check_readable(text, self._alphabet)

    def _phonemes(self, speaker: Any, text: str, inline: bool) -> list[str]:
        """Return the phonemes of `text`, in parts that fit the model; none if the text has nothing to say.

        Raises UnspeakableText if letters or digits would be dropped.
        """
        written = self._written(speaker, text, inline)
        phonemes = _read(speaker, written)
        if not _sounds(phonemes):  # spelling it out is better than nothing
            phonemes = " ".join(filter(_sounds, (_read(speaker, char) for char in written if char.isalnum())))
        if not _sounds(phonemes):
            if any(char.isalnum() for char in written):
                raise UnspeakableText(f"the model cannot pronounce {text.strip()[:40]!r}; write it in other words")
            return []
        return _split_phonemes(phonemes)

    def _written(self, speaker: Any, text: str, inline: bool) -> str:
        lexicon = speaker.g2p.lexicon

        def known(word: str) -> bool:
            return word in lexicon.golds or word in lexicon.silvers

        if not inline:
            return spelled(text, known, self._alphabet)
        parts, end = [], 0
        for link in _INLINE.finditer(text):
            parts += [spelled(text[end : link.start()], known, self._alphabet), link.group()]
            end = link.end()
        return "".join([*parts, spelled(text[end:], known, self._alphabet)])


def _refuse_unsupported_settings(model: ModelConfig) -> None:
    if model.device not in ("auto", "cpu"):
        raise WorkerStartFailed(f'hibari runs on the CPU only: set device = "cpu", not {model.device!r}')
    if model.dtype not in ("auto", "float32"):
        raise WorkerStartFailed(f'hibari has only one precision: set dtype = "auto", not {model.dtype!r}')
    if model.path:
        raise WorkerStartFailed("hibari's weights are in its wheel: leave path empty")


def _checked_options(request: ResolvedRequest) -> HibariOptions:
    slowest, fastest = SPEEDS
    if not slowest <= request.speed <= fastest:
        raise InvalidRequest(
            f"the hibari backend speaks at speeds from {slowest} to {fastest}, not {request.speed}",
            field="speed",
            minimum=slowest,
            maximum=fastest,
        )
    return request_options(request, HibariOptions)


def _is_here(voice: str) -> bool:
    try:
        return os.path.exists(voice_path(voice, download_missing=False))
    except FileNotFoundError:
        return False


def _read(speaker: Any, text: str) -> str:
    """Return the phonemes of `text`; "" if hibari's reader fails, as it does on some numbers."""
    try:
        return str(speaker.g2p(text))
    except Exception:
        log.warning("hibari's reader failed on a piece of text, which is spelled out instead", exc_info=True)
        return ""


def _sounds(phonemes: str) -> bool:
    return any(phoneme not in _NO_SOUND for phoneme in phonemes)


def _split_phonemes(phonemes: str) -> list[str]:
    """Cut `phonemes` at spaces into parts of at most MAX_PHONEMES."""
    parts = []
    while len(phonemes) > MAX_PHONEMES:
        cut = phonemes.rfind(" ", 1, MAX_PHONEMES) + 1 or MAX_PHONEMES
        parts.append(phonemes[:cut])
        phonemes = phonemes[cut:]
    return [part for part in (*parts, phonemes) if _sounds(part)]


def _shorten_pauses(wave: Wave, *, before: bool, after: bool) -> Wave:
    """Shorten silence at the start and the end of `wave` to PAUSE where it is inside a sentence."""
    loud = np.flatnonzero(np.abs(wave) > SILENCE)
    if not len(loud):
        return wave
    start = max(0, int(loud[0]) - PAUSE) if before else 0
    end = min(len(wave), int(loud[-1]) + PAUSE) if after else len(wave)
    return wave[start:end]
