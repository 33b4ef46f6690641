"""One request, spoken: text -> pieces -> semantic tokens -> audio, in batches or token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hub_gpt_sovits.engine import Engine, Pair
from hub_gpt_sovits.model.decoding import Choice, Draws, Row, decode
from hub_gpt_sovits.model.decoding import Spoken as State
from hub_gpt_sovits.model.vits import Noise, Vits
from hub_gpt_sovits.rendering import Manner, Utterance, render
from hub_gpt_sovits.streaming import ChunkDecoder, StreamRules, joined_chunks, token_chunks
from hub_gpt_sovits.text import Piece
from hub_gpt_sovits.voicing import Phrase, Voice

Wave = npt.NDArray[np.float32]

OWN_STREAMING = 4
"""Not one of the family's modes: tokens in growing chunks."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Settings:
    """How a request is spoken. `streaming`: 0 batches, 1 segments, 2 and 3 tokens, 4 tokens in growing chunks.

    `as_upstream` is for comparisons: joints as the family's code makes them.
    """

    language: str
    choice: Choice = field(default_factory=Choice)
    manner: Manner = field(default_factory=Manner)
    cut: str = "cut5"
    batch_size: int = 1
    batch_threshold: float = 0.75
    split_bucket: bool = True
    streaming: int = 0
    chunk: int = 16
    overlap: int = 2
    as_upstream: bool = False


@dataclass(frozen=True)
class Piecewise:
    """Audio (N,) of one piece of the text or of a part of it; `last` says that it ends the piece."""

    wave: Wave
    piece: Piece
    last: bool = True


def speak_batches(
    engine: Engine,
    pair: Pair,
    voice: Voice,
    text: str,
    settings: Settings,
    noise: Noise,
    draws: Draws,
    stop: Callable[[], bool] = _never,
) -> Iterator[Piecewise]:
    """Whole pieces, in the order of the text. With buckets all of the text is read before any of it is spoken."""
    pieces = engine.frontend.cut(text, settings.language, settings.cut)
    phrases: dict[int, Phrase] = {}
    if in_buckets(pair, settings):
        phrases = {n: _read(engine, pair, piece, settings) for n, piece in enumerate(pieces)}
        plan = bucketed(
            [len(phrases[n].norm) for n in range(len(pieces))], settings.batch_size, settings.batch_threshold
        )
    else:
        plan = in_order(len(pieces), settings.batch_size)
    waiting: dict[int, Wave] = {}
    spoken = 0
    for members in plan:
        batch = [phrases.get(n) or _read(engine, pair, pieces[n], settings) for n in members]
        waves = speak_batch(pair, voice, batch, settings, noise, draws, stop)
        if stop():
            return
        waiting |= zip(members, waves, strict=True)
        while spoken in waiting:
            yield Piecewise(waiting.pop(spoken), pieces[spoken])
            spoken += 1


def speak_tokens(
    engine: Engine,
    pair: Pair,
    voice: Voice,
    text: str,
    settings: Settings,
    noise: Noise,
    draws: Draws,
    stop: Callable[[], bool] = _never,
) -> Iterator[Piecewise]:
    """Pieces in chunks, each as soon as enough tokens of it are there. v1, v2 and v2Pro only."""
    model = pair.acoustics.model
    assert isinstance(model, Vits)
    rules = StreamRules(
        chunk=settings.chunk,
        overlap=settings.overlap,
        at_pauses=settings.streaming == 2,
        growth=1.5 if settings.streaming == OWN_STREAMING else 1.0,
        as_upstream=settings.as_upstream,
    )
    for piece in engine.frontend.cut(text, settings.language, settings.cut):
        phrase = _read(engine, pair, piece, settings)
        states = _decoded(pair, voice, [phrase], settings, draws, stop)
        decoder = ChunkDecoder(model, phrase.phones, voice.sound.style, settings.manner.speed, rules, noise)
        chunks = token_chunks(states, pair.semantics.mute_scores, rules)
        held: Wave | None = None  # so that the last one can be told
        for audio in joined_chunks(decoder, chunks, blend_last=not settings.as_upstream):
            if stop():
                return
            if held is not None:
                yield Piecewise(held, piece, last=False)
            held = audio.cpu().numpy()
        if stop():
            return
        if held is not None:
            yield Piecewise(held, piece)


def speak_batch(
    pair: Pair,
    voice: Voice,
    batch: Sequence[Phrase],
    settings: Settings,
    noise: Noise,
    draws: Draws,
    stop: Callable[[], bool] = _never,
) -> list[Wave]:
    """The audio of a batch of phrases, (N,) each; of no meaning once `stop` says so."""
    together = settings.manner.together and voice.phrase is not None
    states: list[State] = []
    for rows in [list(batch)] if together else [[one] for one in batch]:
        steps = list(_decoded(pair, voice, rows, settings, draws, stop))
        if stop():
            return []
        states += steps[-1]
    device = voice.sound.codes.device
    utterances = []
    for phrase, state in zip(batch, states, strict=True):
        tokens = limit_tokens(state, together=settings.manner.together, prompted=voice.phrase is not None)
        utterances.append(Utterance(torch.tensor(tokens, dtype=torch.long, device=device), phrase.phones))
    return [loud(wave) for wave in render(pair.acoustics, voice, utterances, settings.manner, noise)]


def limit_tokens(state: State, *, together: bool, prompted: bool) -> list[int]:
    """The tokens that are rendered. After a stop by the limit the family's code drops one; so do we, to be the same."""
    if state.ended or not prompted:
        return state.new
    return state.new[:-1] if together else state.new[1:]


def in_buckets(pair: Pair, settings: Settings) -> bool:
    """Whether pieces are sorted by length into batches."""
    flows_together = pair.acoustics.vocoder is not None and settings.manner.together
    return settings.split_bucket and settings.streaming == 0 and settings.manner.speed == 1 and not flows_together


def bucketed(lengths: Sequence[int], size: int, threshold: float) -> list[list[int]]:
    """Batches of at most `size` numbers, sorted by length; a batch shrinks until median / mean is `threshold`."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    plan, start = [], 0
    while start < len(order):
        end = min(start + size, len(order))
        while end - start > 1:
            members = np.array([lengths[number] for number in order[start:end]], dtype=np.float32)
            if members[len(members) // 2] / (members.mean() + 1e-8) >= threshold:
                break
            end -= 1
        plan.append(order[start:end])
        start = end
    return plan


def in_order(count: int, size: int) -> list[list[int]]:
    """Batches of `size` numbers in their order."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def loud(wave: Tensor) -> Wave:
    """On the host, made quieter where it would clip."""
    peak = float(wave.abs().max()) if len(wave) else 0.0
    return (wave / peak if peak > 1 else wave).cpu().numpy()


def _read(engine: Engine, pair: Pair, piece: Piece, settings: Settings) -> Phrase:
    return engine.voicing.phrase(piece.text, settings.language, pair.acoustics)


def _decoded(
    pair: Pair, voice: Voice, phrases: Sequence[Phrase], settings: Settings, draws: Draws, stop: Callable[[], bool]
) -> Iterator[list[State]]:
    """S1 over the phrases, each behind the phrase of the reference."""
    rows = [Row(phrase.phones, phrase.bert) for phrase in phrases]
    prompt = voice.sound.codes[:0]
    if voice.phrase is not None:
        before = voice.phrase
        rows = [Row(torch.cat([before.phones, row.phones]), torch.cat([before.bert, row.bert], 1)) for row in rows]
        prompt = voice.sound.codes
    return decode(pair.semantics.model, pair.semantics.pool, rows, prompt, settings.choice, draws, stop=stop)
