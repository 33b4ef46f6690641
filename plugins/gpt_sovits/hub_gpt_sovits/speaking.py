"""Speaking: one request, from its text to audio, by way of pieces and semantic tokens, in batches or token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hub.contract.errors import InvalidRequest
from hub.contract.event import AudioChunk, Mark
from hub.contract.speech import Reference, ResolvedRequest
from hub.nn.sampling import request_generator
from hub_gpt_sovits.capabilities import CAPABILITIES
from hub_gpt_sovits.decoding import Choice, Draws, GeneratorDraws, Row, RowState, decode
from hub_gpt_sovits.machinery import Machinery, Pair
from hub_gpt_sovits.model.upsampling import Upsampler
from hub_gpt_sovits.model.vits import Noise, Vits
from hub_gpt_sovits.options import GptSovitsOptions
from hub_gpt_sovits.rendering import Manner, Utterance, render
from hub_gpt_sovits.streaming import ChunkDecoder, StreamRules, joined_chunks, token_chunks
from hub_gpt_sovits.text import LANGUAGES, Piece
from hub_gpt_sovits.voices import ClonedVoice, MainReference, Phrase

Wave = npt.NDArray[np.float32]

OWN_STREAMING = 4
"""Tokens in growing chunks, which is not one of the family's modes."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Parameters:
    """The parameters of a request. `streaming`: 0 batches, 1 segments, 2 and 3 tokens, 4 tokens in growing chunks.

    `as_upstream` is for comparisons: it makes joints as the family's code does.
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

    @classmethod
    def of(cls, request: ResolvedRequest, options: GptSovitsOptions, pair: Pair) -> Parameters:
        """The parameters of a request. Raises InvalidRequest for a language that its weights do not read."""
        default, sampling = Choice(), request.sampling
        streaming: int = OWN_STREAMING if request.stream else 0
        if options.streaming_mode is not None:
            streaming = options.streaming_mode
        return cls(
            language=known_language(options.text_lang or read_as(request.language), pair),
            choice=Choice(
                default.top_k if sampling.top_k is None else sampling.top_k,
                default.top_p if sampling.top_p is None else sampling.top_p,
                default.temperature if sampling.temperature is None else sampling.temperature,
                default.repetition_penalty if sampling.repetition_penalty is None else sampling.repetition_penalty,
            ),
            manner=Manner(request.speed, options.sample_steps, options.parallel_infer),
            cut=options.text_split_method,
            batch_size=options.batch_size,
            batch_threshold=options.batch_threshold,
            split_bucket=options.split_bucket and options.batch_size > 1,
            streaming=streaming,
            chunk=options.min_chunk_length,
            overlap=options.overlap_length,
        )


@dataclass(frozen=True)
class PieceAudio:
    """Audio (N,) of a piece of the text, or of a part of one; `last`: it ends the piece."""

    wave: Wave
    piece: Piece
    last: bool = True


class Speaking:
    """One request under way: its weights, its voice, its parameters and its random numbers."""

    def __init__(
        self,
        machinery: Machinery,
        pair: Pair,
        voice: ClonedVoice,
        parameters: Parameters,
        *,
        noise: Noise,
        draws: Draws,
        stop: Callable[[], bool] = _never,
    ) -> None:
        self._machinery, self._pair, self._voice, self._parameters = machinery, pair, voice, parameters
        self._noise, self._draws, self._stop = noise, draws, stop

    @classmethod
    def of(
        cls,
        machinery: Machinery,
        pair: Pair,
        parameters: Parameters,
        request: ResolvedRequest,
        options: GptSovitsOptions,
        stop: Callable[[], bool] = _never,
    ) -> Speaking:
        """Make the voice of a request and its generator. Raises InvalidAudio, InvalidRequest, UnspeakableText."""
        main, others = recordings_of(request.references, None, options.prompt_lang)
        known_language(main.language, pair)
        voice = machinery.voices.voice(main, others, pair.acoustics, request.prepared)
        generator = request_generator(request.seed, "cpu")
        device, dtype = machinery.networks.device, machinery.networks.dtype
        on_host = GeneratorDraws(generator)

        # Drawn on the host, so that a seed gives the same speech on every device.
        def noise(shape: Sequence[int]) -> Tensor:
            return torch.randn(tuple(shape), generator=generator).to(device, dtype)

        def draws(rows: int, choices: int) -> Tensor:
            return on_host(rows, choices).to(device)

        return cls(machinery, pair, voice, parameters, noise=noise, draws=draws, stop=stop)

    def events(self, text: str, *, interval: float, super_sampling: bool) -> Iterator[AudioChunk | Mark]:
        """Chunks of audio for each piece of `text`, `interval` seconds of silence and a mark after each piece."""
        own_rate = rate = self._pair.acoustics.sample_rate
        pieces = self.pieces(text)
        if super_sampling:
            upsampler = self._machinery.upsampler(self._pair)
            pieces, rate = (upsampled(one, upsampler, own_rate) for one in pieces), upsampler.rate
        samples, begin = 0, 0
        silence = np.zeros(round(rate * interval), np.float32)
        for one in pieces:
            if len(one.wave):
                yield AudioChunk.of(np.ascontiguousarray(one.wave, np.float32), rate, one.piece.span)
                samples += len(one.wave)
            if not one.last:
                continue
            said = text[slice(*one.piece.span)] if one.piece.span else one.piece.text
            if samples > begin:
                yield Mark("segment", begin / rate, samples / rate, text=said.strip(), span=one.piece.span)
                if len(silence):
                    yield AudioChunk.of(silence, rate, one.piece.span)
                    samples += len(silence)
            begin = samples

    def pieces(self, text: str) -> Iterator[PieceAudio]:
        """The audio of `text`: by tokens if the request asks for it and the weights support it, else by batches."""
        by_tokens = self._parameters.streaming >= 2 and isinstance(self._pair.acoustics.model, Vits)
        return self.by_tokens(text) if by_tokens else self.by_batches(text)

    def by_batches(self, text: str) -> Iterator[PieceAudio]:
        """Whole pieces, in the order of the text. With buckets all of the text is read before any of it is spoken."""
        pieces = self._cut(text)
        phrases: dict[int, Phrase] = {}
        if in_buckets(self._pair, self._parameters):
            phrases = {number: self._read(piece) for number, piece in enumerate(pieces)}
            lengths = [len(phrases[number].norm) for number in range(len(pieces))]
            batches = bucketed(lengths, self._parameters.batch_size, self._parameters.batch_threshold)
        else:
            batches = in_order(len(pieces), self._parameters.batch_size)
        waiting: dict[int, Wave] = {}
        spoken = 0
        for members in batches:
            batch = [phrases.get(number) or self._read(pieces[number]) for number in members]
            waves = self._batch(batch)
            if self._stop():
                return
            waiting |= zip(members, waves, strict=True)
            while spoken in waiting:
                yield PieceAudio(waiting.pop(spoken), pieces[spoken])
                spoken += 1

    def by_tokens(self, text: str) -> Iterator[PieceAudio]:
        """Pieces in chunks, each as soon as it has enough tokens. For v1, v2 and v2Pro."""
        model, wanted = self._pair.acoustics.model, self._parameters
        assert isinstance(model, Vits)
        rules = StreamRules(
            chunk=wanted.chunk,
            overlap=wanted.overlap,
            at_pauses=wanted.streaming == 2,
            growth=1.5 if wanted.streaming == OWN_STREAMING else 1.0,
            as_upstream=wanted.as_upstream,
        )
        for piece in self._cut(text):
            phrase = self._read(piece)
            style = self._voice.sound.style
            decoder = ChunkDecoder(model, phrase.phones, style, wanted.manner.speed, rules, self._noise)
            chunks = token_chunks(self._decoded([phrase]), self._pair.semantics.mute_scores, rules)
            held: Wave | None = None  # until the next one shows that it is not the last
            for audio in joined_chunks(decoder, chunks, blend_last=not wanted.as_upstream):
                if self._stop():
                    return
                if held is not None:
                    yield PieceAudio(held, piece, last=False)
                held = audio.cpu().numpy()
            if self._stop():
                return
            if held is not None:
                yield PieceAudio(held, piece)

    def _batch(self, batch: Sequence[Phrase]) -> list[Wave]:
        """The audio of a batch of phrases, (N,) each; to be ignored if the request was stopped."""
        manner, prompted = self._parameters.manner, self._voice.phrase is not None
        states: list[RowState] = []
        for rows in [list(batch)] if manner.together and prompted else [[one] for one in batch]:
            steps = list(self._decoded(rows))
            if self._stop():
                return []
            states += steps[-1]
        device = self._voice.sound.codes.device
        utterances = []
        for phrase, state in zip(batch, states, strict=True):
            tokens = limit_tokens(state, together=manner.together, prompted=prompted)
            utterances.append(Utterance(torch.tensor(tokens, dtype=torch.long, device=device), phrase.phones))
        return [loud(wave) for wave in render(self._pair.acoustics, self._voice, utterances, manner, self._noise)]

    def _cut(self, text: str) -> list[Piece]:
        return self._machinery.frontend.cut(text, self._parameters.language, self._parameters.cut)

    def _read(self, piece: Piece) -> Phrase:
        return self._machinery.voices.phrase(piece.text, self._parameters.language, self._pair.acoustics)

    def _decoded(self, phrases: Sequence[Phrase]) -> Iterator[list[RowState]]:
        """S1 over the phrases, each after the phrase of the reference."""
        rows = [Row(phrase.phones, phrase.bert) for phrase in phrases]
        prompt = self._voice.sound.codes[:0]
        if (before := self._voice.phrase) is not None:
            rows = [Row(torch.cat([before.phones, row.phones]), torch.cat([before.bert, row.bert], 1)) for row in rows]
            prompt = self._voice.sound.codes
        semantics = self._pair.semantics
        choice = self._parameters.choice
        return decode(semantics.model, semantics.sessions, rows, prompt, choice, self._draws, stop=self._stop)


def limit_tokens(state: RowState, *, together: bool, prompted: bool) -> list[int]:
    """The tokens to render. After a stop at the limit one is dropped, as in the family's code."""
    if state.ended or not prompted:
        return state.new
    return state.new[:-1] if together else state.new[1:]


def in_buckets(pair: Pair, parameters: Parameters) -> bool:
    """True if pieces are sorted by length into batches."""
    flows_together = pair.acoustics.vocoder is not None and parameters.manner.together
    bucketing = parameters.split_bucket and parameters.streaming == 0
    return bucketing and parameters.manner.speed == 1 and not flows_together


def bucketed(lengths: Sequence[int], size: int, threshold: float) -> list[list[int]]:
    """Batches of at most `size` numbers, sorted by length; a batch shrinks until median / mean is `threshold`."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    batches, start = [], 0
    while start < len(order):
        end = min(start + size, len(order))
        while end - start > 1:
            members = np.array([lengths[number] for number in order[start:end]], dtype=np.float32)
            if members[len(members) // 2] / (members.mean() + 1e-8) >= threshold:
                break
            end -= 1
        batches.append(order[start:end])
        start = end
    return batches


def in_order(count: int, size: int) -> list[list[int]]:
    """Batches of `size` numbers in their order."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


@torch.inference_mode()
def upsampled(one: PieceAudio, upsampler: Upsampler, rate: int) -> PieceAudio:
    """Audio of `rate` at the upsampler's own rate."""
    if not len(one.wave):
        return one
    wave = torch.from_numpy(one.wave).to(next(upsampler.parameters()).device)
    return PieceAudio(loud(upsampler(wave, rate)), one.piece, one.last)


def loud(wave: Tensor) -> Wave:
    """The samples on the host, made quieter if they would clip."""
    peak = float(wave.abs().max()) if len(wave) else 0.0
    return (wave / peak if peak > 1 else wave).cpu().numpy()


def read_as(language: str | None) -> str:
    """The `text_lang` for a BCP 47 tag; `auto` without a tag and for a language that no version reads."""
    primary = (language or "").lower().split("-")[0]
    return primary if primary in CAPABILITIES.languages else "auto"


def known_language(language: str, pair: Pair) -> str:
    """Return `language`. Raises InvalidRequest if the version of the weights does not read it."""
    known = LANGUAGES[pair.acoustics.symbols]
    if language not in known:
        raise InvalidRequest(f"{pair.acoustics.version} does not read {language!r}; it reads {', '.join(known)}")
    return language


def recordings_of(
    references: tuple[Reference, ...], language: str | None, prompt_lang: str | None = None
) -> tuple[MainReference, list[bytes]]:
    """The main reference, and the recordings of the others, which only colour the sound."""
    main, *others = references
    own = main.language or language
    read = prompt_lang or (own if own in LANGUAGES["v2"] else read_as(own))
    return MainReference(main.audio, main.text or "", read), [other.audio for other in others]
