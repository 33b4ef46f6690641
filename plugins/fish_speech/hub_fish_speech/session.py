"""Session: the state of the language model for one request, and the pool that lends sessions.

A session belongs to one request at a time. It holds a cache of the request's size, the windows that sampling looks back
on, and the columns that are in the cache already, so that the next segment's prompt is read only from where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hub.nn.decode import KVCache, Stepper, prefix_length, prefix_lengths, prefix_mask
from hub.nn.loans import Loans, affordable
from hub_fish_speech.checkpoint.language_model import LanguageModel
from hub_fish_speech.model.transformer import CacheView, make_cache
from hub_fish_speech.sampling import RAS_WINDOW, WINDOW, Draws, pick, pick_aware

BLOCK = 8
"""Frames that a GPU makes before the host waits for them; frames after the end of a speech are thrown away."""

LEAST_GRAPHED = 1024
"""The least size of a cache with graphs, in positions."""


class Noise(Protocol):
    """Exp(1) draws for each frame."""

    def fill(self, main: Tensor, again: Tensor, fast: Tensor) -> None:
        """Fill the noise of the main token (V',), of its second draw (V',), and of the codes (C', columns).

        Called once for each frame, in order. A tensor that the variant does not draw with has no elements.
        """
        ...


class RequestNoise:
    """Noise from a request's own generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def fill(self, main: Tensor, again: Tensor, fast: Tensor) -> None:
        """Fill the noise, as `Noise` defines it."""
        for part in (main, again, fast):
            if part.numel():
                part.exponential_(1.0, generator=self._generator)


class _Look(NamedTuple):
    """Tensors on the device that sampling looks back on and draws with. Rows: the main token, then the codes.

    `window` (1 + C, WINDOW) holds the last frames in any order, `oldest` (1 + C,) the first of them, `recent`
    (RAS_WINDOW,) the last main tokens; zeros where there are none yet. The last three are of one frame.
    """

    window: Tensor
    oldest: Tensor
    recent: Tensor
    main: Tensor
    again: Tensor
    fast: Tensor


class Session:
    """Serves one request at a time, and one thread. Its cache has `length` positions at first.

    With `graphs` (default: on a GPU) steps have the fixed shapes that graphs need: attention covers a rounded prefix
    under a mask, and frames come in blocks. Without, it covers the filled positions, and frames come one by one.
    """

    _cache: KVCache
    _stepper: Stepper
    _held: Tensor
    """The columns (1 + C, T) in the cache, on the CPU."""

    def __init__(self, language: LanguageModel, length: int = 1, *, graphs: bool | None = None) -> None:
        self._language = language
        self._model = model = language.model
        self._variant = variant = language.variant
        config, device = language.config, model.device
        rows = 1 + config.codebooks
        count = len(model.main_tokens)
        sampled = config.codebooks if variant.samples_first_code else config.codebooks - 1
        self._graphs = device.type == "cuda" if graphs is None else graphs
        self._make_room(length)
        self._fast_cache = make_cache(config.fast, config.codebooks, device, model.dtype)
        self._look = _Look(
            window=torch.zeros(rows, WINDOW, dtype=torch.int64, device=device),
            oldest=torch.zeros(rows, dtype=torch.int64, device=device),
            recent=torch.zeros(RAS_WINDOW, dtype=torch.int64, device=device),
            main=torch.ones(count, device=device),
            again=torch.ones(count if variant.repetition_aware else 0, device=device),
            fast=torch.ones(sampled, model.fast_columns, device=device),
        )

    @property
    def length(self) -> int:
        """Positions of the cache."""
        return self._cache.length

    def reserve(self, positions: int) -> None:
        """Make sure that the cache has so many positions. A new, larger one starts empty and without graphs."""
        if self.length < positions:
            self._make_room(rounded_length(self._language, positions) if self._graphs else positions)

    def forget(self) -> None:
        """Make the next request read its prompt from the beginning."""
        self._held = self._held[:, :0]
        if self._graphs:
            self._cache.clear()

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture the graphs of all prefixes, so that no request waits for one."""
        device, rows = self._model.device, 1 + self._language.config.codebooks
        frame = torch.zeros(rows, dtype=torch.int64, device=device)
        numbers = _numbers(Draws(1.0, 1.0), device)
        for seen in prefix_lengths(self.length):
            self._stepper.prepare(seen, frame, torch.tensor([seen - 1]), *self._look, *numbers)

    def _make_room(self, length: int) -> None:
        config, model = self._language.config, self._model
        self._cache = make_cache(config.slow, length, model.device, model.dtype)
        self._stepper = Stepper(self._step, model.device)
        self._held = torch.zeros(1 + config.codebooks, 0, dtype=torch.int64)

    @torch.inference_mode()
    def read(self, prompt: Tensor) -> Tensor:
        """Read the columns of `prompt` (1 + C, T) that the cache does not hold yet: their hidden states (T', D)."""
        self.reserve(prompt.shape[1])
        model, end = self._model, prompt.shape[1]
        common = min(self._held.shape[1], end - 1)
        same = (self._held[:, :common] == prompt[:, :common]).all(0)
        known = int(same.cumprod(0).sum())
        x = model.embed(prompt[:, known:].to(model.device))
        view = CacheView(torch.arange(known, end, device=model.device), model.slow_rotations[known:end], end)
        self._held = prompt
        return model.slow(x, view, self._cache)

    def frames(
        self, prompt: Tensor, draws: Draws, noise: Noise, limit: int, *, ends_at_first: bool = True
    ) -> Iterator[Tensor]:
        """Frames after `prompt` (1 + C, T), in blocks (1 + C, n), up to and with the one whose main token is the end.

        There are at most `limit` frames, and no more than the model's positions allow; none if the prompt leaves no
        room. The host waits for a GPU once a block. The vendor's code does not check whether the very first frame is
        the end; nor does this with `ends_at_first` false.
        """
        limit = min(limit, self._language.positions - prompt.shape[1])
        if limit < 1:
            return
        self.reserve(prompt.shape[1] + limit)
        for part in self._look[:3]:
            part.zero_()
        numbers = _numbers(draws, self._model.device) if self._graphs else ()
        frame = self._first(prompt, draws, noise)
        yield frame[:, None].cpu()
        if ends_at_first and self._is_end(frame[:, None].cpu()):
            return
        made, block = 1, BLOCK if self._graphs else 1
        while made < limit:
            count = min(block, limit - made)
            found = []
            for number in range(made, made + count):
                frame = self._next(frame, prompt.shape[1] + number - 1, draws, numbers, noise)
                self._remember(number - 1, frame)
                found.append(frame)
            frames = torch.stack(found, 1).cpu()
            end = (frames[0] == self._language.tokenizer.im_end).nonzero()
            if len(end):
                yield frames[:, : int(end[0]) + 1]
                return
            yield frames
            made += count

    def _is_end(self, frames: Tensor) -> bool:
        return bool((frames[0] == self._language.tokenizer.im_end).any())

    @torch.inference_mode()
    def _first(self, prompt: Tensor, draws: Draws, noise: Noise) -> Tensor:
        noise.fill(*self._look[3:])
        return self._draw(self.read(prompt)[-1:], draws, self._look, penalised=False)

    @torch.inference_mode()
    def _next(self, frame: Tensor, position: int, draws: Draws, numbers: tuple[Tensor, ...], noise: Noise) -> Tensor:
        """The frame after `frame` (1 + C,), which stands at `position`. `numbers` are `draws` for a graph."""
        noise.fill(*self._look[3:])
        at = torch.tensor([position])
        if not numbers:
            return self._step(position + 1, frame, at, *self._look, draws=draws)
        seen = prefix_length(position + 1, self.length)
        found: Tensor = self._stepper(seen, frame, at, *self._look, *numbers)
        return found.clone()

    def _step(self, seen: int, frame: Tensor, at: Tensor, *inputs: Tensor, draws: Draws | None = None) -> Tensor:
        """The next frame; this is what a graph captures. It sees the filled ones of the first `seen` positions.

        `inputs` are a `_Look`'s, and without `draws` its numbers.
        """
        model = self._model
        draws = draws or Draws(*inputs[6:])
        mask = prefix_mask(at, seen) if self._graphs else None
        view = CacheView(at, model.slow_rotations.index_select(0, at), seen, mask)
        hidden = model.slow(model.embed(frame[:, None]), view, self._cache)
        return self._draw(hidden, draws, _Look(*inputs[:6]), penalised=True)

    def _remember(self, step: int, frame: Tensor) -> None:
        """Put `frame`, number `step` of those after the first, into the windows."""
        look = self._look
        look.window[:, step % WINDOW] = frame
        look.oldest.copy_(look.window[:, (step + 1) % WINDOW if step + 1 >= WINDOW else 0])
        look.recent[step % RAS_WINDOW] = frame[0]

    def _draw(self, hidden: Tensor, draws: Draws, look: _Look, *, penalised: bool) -> Tensor:
        """Hidden state (1, D) -> frame (1 + C,)."""
        main = self._draw_main(hidden, draws, look, penalised)
        codes = self._draw_codes(self._model.fast_input(hidden), main, draws, look, penalised)
        if self._variant.samples_first_code:  # 1.4 has no codes beside a token that does not stand for audio
            codes = torch.where(self._model.is_audio(main), codes, 0)
        return torch.cat([main[None], codes])

    def _draw_main(self, hidden: Tensor, draws: Draws, look: _Look, penalised: bool) -> Tensor:
        model = self._model
        logits = model.main_logits(hidden)[0].float()
        if self._variant.repetition_aware:
            return pick_aware(
                logits,
                draws,
                look.main,
                look.again,
                ids=model.main_tokens,
                recent=look.recent,
                audio=model.main_is_audio,
            )
        against = {"none": None, "row": look.window[0], "oldest_frame": look.oldest}[self._variant.main_penalty]
        return pick(logits, draws, look.main, against if penalised else None)

    def _draw_codes(self, x: Tensor, main: Tensor, draws: Draws, look: _Look, penalised: bool) -> Tensor:
        """The codes (C,) of a frame, one after the other; x (1, F) is what the fast transformer starts from."""
        model, first = self._model, 0
        codes: list[Tensor] = []
        if not self._variant.samples_first_code:
            codes.append(model.first_code(main)[None])
            # The logits of position 0 are not needed, so both go through the layers together.
            x = torch.cat([x, model.fast_embeddings(codes[0])])
        penalised = penalised and not self._variant.repetition_aware
        for noise in look.fast:
            logits = model.fast(x, first, self._fast_cache)[0].float()
            against = look.window[1 + len(codes)] if penalised else None
            first += x.shape[0]
            codes.append(pick(logits, draws, noise, against)[None])
            x = model.fast_embeddings(codes[-1])
        return torch.cat(codes)


def session_pool(language: LanguageModel, *, keep: int, warm: bool = False) -> Loans[Session]:
    """Lends sessions by the length of their caches. A GPU keeps `keep` idle ones, with their graphs.

    With `warm` they are made at once, as long as the model allows and a quarter of the free memory holds.
    """
    made = Loans(
        lambda length: Session(language, length),
        size_of=lambda session: session.length,
        device=language.model.device,
        keep=keep,
        rounded=lambda length: rounded_length(language, length),
        made_ready=Session.forget,
    )
    if warm and made.keeps:
        slow, model = language.config.slow, language.model
        position = 2 * slow.layers * slow.kv_heads * slow.head_dim * model.dtype.itemsize  # bytes of a cache
        length = affordable(language.positions, LEAST_GRAPHED, each=position, count=keep, device=model.device)
        made.fill(length, Session.capture)
    return made


def rounded_length(language: LanguageModel, positions: int) -> int:
    """A length of a cache with graphs that holds `positions`: few lengths, so that longer requests find them too."""
    return prefix_length(positions, language.positions, LEAST_GRAPHED)


def _numbers(draws: Draws, device: torch.device) -> tuple[Tensor, ...]:
    """`draws` as tensors of no dimension, in the order of its fields."""

    def number(value: float | Tensor, kind: torch.dtype) -> Tensor:
        return torch.as_tensor(value, dtype=kind, device=device)

    return (
        number(draws.temperature, torch.float32),
        number(draws.top_p, torch.float32),
        number(draws.repetition_penalty, torch.float32),
        number(2**31 if draws.top_k is None else draws.top_k, torch.int64),
    )
