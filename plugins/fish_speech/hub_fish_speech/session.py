"""Session: the language model at work for one request.

It holds what a request needs and no other may touch: a cache of its size, the windows that sampling looks back on, and
the columns that the cache holds already, so that the next segment's prompt is read only from where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hub.nn.decode import Stepper, prefix_length, prefix_mask
from hub_fish_speech.checkpoint import LanguageModel
from hub_fish_speech.model.transformer import Cache, Place
from hub_fish_speech.sampling import RAS_WINDOW, WINDOW, Draws, pick, pick_aware

BLOCK = 8
"""Frames that a GPU makes before it is waited for; what comes after the end of a speech is thrown away."""


LEAST_GRAPHED = 1024
"""Positions that a cache with graphs has at least."""


class Noise(Protocol):
    """Exp(1) draws for each frame."""

    def fill(self, main: Tensor, again: Tensor, fast: Tensor) -> None:
        """Fill the noise of the main token (V',), of its second draw (V',), and of the codes (C', columns).

        Called once for each frame, in order. What a variant does not draw has no elements.
        """
        ...


class RequestNoise:
    """Noise from a request's own generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def fill(self, main: Tensor, again: Tensor, fast: Tensor) -> None:
        """See `Noise`."""
        for part in (main, again, fast):
            if part.numel():
                part.exponential_(1.0, generator=self._generator)


class _Look(NamedTuple):
    """What sampling looks back on and draws with, on the device. Rows: the main token, then the codes.

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
    """One request's work at a time; not for several threads at once.

    With `graphs` (default: on a GPU) steps have the fixed shapes that graphs need: attention covers a rounded prefix
    under a mask, and frames come in blocks. Without, it covers what is filled, and each frame comes by itself.
    """

    def __init__(self, language: LanguageModel, *, graphs: bool | None = None) -> None:
        self._language = language
        self._model = model = language.model
        self._variant = variant = language.variant
        config, device = language.config, model.device
        rows = 1 + config.codebooks
        count = len(model.main_tokens)
        sampled = config.codebooks if variant.samples_first_code else config.codebooks - 1
        self._graphs = device.type == "cuda" if graphs is None else graphs
        self._cache: Cache | None = None
        self._fast_cache = Cache.empty(config.fast, config.codebooks, device, model.dtype)
        self._stepper = Stepper(self._step, device)
        self._held = torch.zeros(rows, 0, dtype=torch.int64)
        self._look = _Look(
            window=torch.zeros(rows, WINDOW, dtype=torch.int64, device=device),
            oldest=torch.zeros(rows, dtype=torch.int64, device=device),
            recent=torch.zeros(RAS_WINDOW, dtype=torch.int64, device=device),
            main=torch.ones(count, device=device),
            again=torch.ones(count if variant.repetition_aware else 0, device=device),
            fast=torch.ones(sampled, model.fast_columns, device=device),
        )

    @property
    def room(self) -> int:
        """Positions of the cache."""
        return 0 if self._cache is None else self._cache.length

    def reserve(self, positions: int) -> None:
        """Room for so many positions. A cache that is too small goes, with what it holds and its graphs."""
        if self.room < positions:
            model = self._model
            if self._graphs:  # rounded, so that the next, longer request finds room and the graphs
                positions = prefix_length(positions, self._language.positions, LEAST_GRAPHED)
            self._cache = Cache.empty(self._language.config.slow, positions, model.device, model.dtype)
            if self._graphs:  # what a mask hides is still multiplied, by nothing: it must be a number
                self._cache.keys.zero_()
                self._cache.values.zero_()
            self._stepper = Stepper(self._step, model.device)
            self._held = self._held[:, :0]

    def forget(self) -> None:
        """What the cache holds is not to be used by the next request."""
        self._held = self._held[:, :0]

    @torch.inference_mode()
    def read(self, prompt: Tensor) -> Tensor:
        """Read what the cache does not hold yet of `prompt` (1 + C, T): hidden states of those columns (T', D)."""
        self.reserve(prompt.shape[1])
        assert self._cache is not None
        model, end = self._model, prompt.shape[1]
        common = min(self._held.shape[1], end - 1)
        same = (self._held[:, :common] == prompt[:, :common]).all(0)
        known = int(same.cumprod(0).sum())
        x = model.embed(prompt[:, known:].to(model.device))
        place = Place(torch.arange(known, end, device=model.device), model.slow_turns[known:end], end)
        self._held = prompt
        return model.slow(x, place, self._cache)

    def frames(
        self, prompt: Tensor, draws: Draws, noise: Noise, limit: int, *, ends_at_first: bool = True
    ) -> Iterator[Tensor]:
        """Frames after `prompt` (1 + C, T), in blocks (1 + C, n), up to and with the one whose main token is the end.

        At most `limit`, and what the model's positions allow; none if the prompt leaves no room. A GPU is waited for
        once a block. The vendor's code does not look whether the very first frame is the end; nor does this with
        `ends_at_first` false.
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
        seen = prefix_length(position + 1, self.room)
        found: Tensor = self._stepper(seen, frame, at, *self._look, *numbers)
        return found.clone()

    def _step(self, seen: int, frame: Tensor, at: Tensor, *inputs: Tensor, draws: Draws | None = None) -> Tensor:
        """The next frame; what a graph captures. It sees the first `seen` positions, or as many of them as are filled.

        `inputs` are a `_Look`'s, and without `draws` its numbers.
        """
        assert self._cache is not None
        model = self._model
        draws = draws or Draws(*inputs[6:])
        mask = prefix_mask(at, seen) if self._graphs else None
        place = Place(at, model.slow_turns.index_select(0, at), seen, mask)
        hidden = model.slow(model.embed(frame[:, None]), place, self._cache)
        return self._draw(hidden, draws, _Look(*inputs[:6]), penalised=True)

    def _remember(self, step: int, frame: Tensor) -> None:
        """Let the windows know `frame`, which is number `step` of those after the first."""
        look = self._look
        look.window[:, step % WINDOW] = frame
        look.oldest.copy_(look.window[:, (step + 1) % WINDOW if step + 1 >= WINDOW else 0])
        look.recent[step % RAS_WINDOW] = frame[0]

    def _draw(self, hidden: Tensor, draws: Draws, look: _Look, *, penalised: bool) -> Tensor:
        """Hidden state (1, D) -> frame (1 + C,)."""
        main = self._draw_main(hidden, draws, look, penalised)
        codes = self._draw_codes(self._model.fast_input(hidden), main, draws, look, penalised)
        if self._variant.samples_first_code:  # 1.4 has no codes beside a token that is no audio
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
        """The codes (C,) of a frame, one after the other; x (1, F) is where the fast transformer starts from."""
        model, first = self._model, 0
        codes: list[Tensor] = []
        if not self._variant.samples_first_code:
            codes.append(model.first_code(main)[None])
            # What position 0 says is not asked, so both go through the layers together.
            x = torch.cat([x, model.fast_embeddings(codes[0])])
        penalised = penalised and not self._variant.repetition_aware
        for noise in look.fast:
            logits = model.fast(x, first, self._fast_cache)[0].float()
            against = look.window[1 + len(codes)] if penalised else None
            first += x.shape[0]
            codes.append(pick(logits, draws, noise, against)[None])
            x = model.fast_embeddings(codes[-1])
        return torch.cat(codes)


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
