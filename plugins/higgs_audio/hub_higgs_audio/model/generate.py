"""The generate loop: a prompt in, text tokens and audio columns out, one at a time.

A step on the GPU is one graph: the pass through the model, the draw, the redraw of repeats, the rules of the delay
pattern. Its outputs are the next step's inputs, so the device runs ahead; the host reads each column one step late, to
hand it on and to learn that the audio has ended. What was computed beyond the end is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hub.contract.backend import Stop
from hub.nn.decode import prefix_length
from hub_higgs_audio.model.language import TEXT_ALONE, LanguageModel
from hub_higgs_audio.model.sampling import Delays, Settings, choose, next_column
from hub_higgs_audio.model.slots import Slot
from hub_higgs_audio.prompt import Prompt
from hub_higgs_audio.tokens import Tokens


class TextToken(NamedTuple):
    """A text token of the reply."""

    id: int


class AudioColumn(NamedTuple):
    """A delayed column (K,) of the reply, on the CPU; each audio's first is all BOS. `last`: the audio ends here."""

    ids: Tensor
    last: bool = False


@dataclass(frozen=True)
class Limits:
    """How long a reply may be: text tokens and columns together, BOS and tail included. With `only_audio` it ends with
    its first audio; otherwise when the model ends its turn."""

    max_new_tokens: int
    only_audio: bool = True


class Prefix(NamedTuple):
    """The beginning that prompts share: its ids, and its keys and values (layers, 1, G, length, D)."""

    ids: tuple[int, ...]
    keys: Tensor
    values: Tensor


def prefill(
    model: LanguageModel, tokens: Tokens, prompt: Prompt, slot: Slot, prefix: Prefix | None = None
) -> tuple[Tensor, int]:
    """Bring `prompt` into the slot's cache; with `prefix`, which must begin it, only what comes after that is computed.

    -> hidden states (T, C) of what was computed, and the number of positions filled.
    """
    ids, columns = expanded(tokens, prompt)
    start = len(prefix.ids) if prefix is not None else 0
    if prefix is not None:
        slot.cache.keys[:, :, :, :start] = prefix.keys
        slot.cache.values[:, :, :, :start] = prefix.values
    if prefix is not None and model.adapter.tells_apart:
        slot.cache.audio[:start] = torch.tensor([column is not None for column in columns[:start]])
    is_audio = torch.tensor([column is not None for column in columns[start:]])
    audio = [column for column in columns[start:] if column is not None]
    text = torch.tensor(ids[start:], device=model.device)
    hidden, rows = model.embed(text, torch.stack(audio, 1).to(model.device) if audio else None, is_audio)
    return model.run(hidden, rows, slot.cache, start), len(ids)


def expanded(tokens: Tokens, prompt: Prompt) -> tuple[list[int], list[Tensor | None]]:
    """Each position's id, a placeholder's once for each column of its audio, and its column (K,), if it has one."""
    ids: list[int] = []
    columns: list[Tensor | None] = []
    audios = iter(prompt.audios)
    for id in prompt.ids:
        found = list(next(audios).unbind(1)) if id in (tokens.audio, tokens.audio_out) else [None]
        ids += [id] * len(found)
        columns += found
    return ids, columns


def heard(tokens: Tokens, prompt: Prompt) -> list[Tensor]:
    """The prompt's audio that counts as the assistant's own, which is what repeats are looked for in."""
    kinds = [id for id in prompt.ids if id in (tokens.audio, tokens.audio_out)]
    return [audio for kind, audio in zip(kinds, prompt.audios, strict=True) if kind == tokens.audio_out]


class Generation:
    """One reply. Make it, then iterate over `run` once.

    `seed` makes its own generator, whose draws do not depend on device or load; the slot is this reply's alone.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokens: Tokens,
        slot: Slot,
        settings: Settings,
        limits: Limits,
        *,
        seed: int,
        stop: Stop,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._slot = slot
        self._limits = limits
        self._stop = stop
        books = model.sizes.codebooks
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(max(1, limits.max_new_tokens), 2, books, generator=generator, dtype=torch.float64)
        self._uniform = uniform.to(model.device, slot.uniform_dtype)
        slot.begin(settings)
        self._filled = 0
        self._made = 0

    @torch.inference_mode()
    def run(self, prompt: Prompt, prefix: Prefix | None = None) -> Iterator[TextToken | AudioColumn]:
        """The reply, until it ends, is long enough, or `stop` is set (asked before each step)."""
        tokens = self._tokens
        hidden, self._filled = prefill(self._model, tokens, prompt, self._slot, prefix)
        self._slot.remember(heard(tokens, prompt))
        last, hidden = prompt.ids[-1], hidden[-1:]
        while self._going():
            if last == tokens.audio_out_bos:
                yield TextToken(tokens.audio_out)
                ended = False
                for column in self._audio():
                    ended = column.last
                    yield column
                if not ended or self._limits.only_audio:
                    return
                last = tokens.audio_eos
            else:
                last = self._text(hidden)
                yield TextToken(last)
                if last in (tokens.end_of_text, tokens.end_of_turn):
                    return
            if self._going():
                hidden = self._read(last)

    def _going(self) -> bool:
        return self._made < self._limits.max_new_tokens and not self._stop.is_set()

    def _text(self, hidden: Tensor) -> int:
        """The next text token. (1, C) -> an id; never the placeholder of audio, which only stands behind its marker."""
        logits = self._model.text_logits(hidden)
        logits[:, self._tokens.audio_out] = -torch.inf
        chosen = choose(logits, self._slot.knobs, self._uniform[self._made, 0, :1])
        self._made += 1
        return int(chosen)

    def _read(self, id: int) -> Tensor:
        """Take a text token into the context. -> (1, C)."""
        text = torch.tensor([id], device=self._model.device)
        hidden = self._model.embed_text(text)
        hidden = self._model.run(hidden, TEXT_ALONE, self._slot.cache, self._filled)
        self._filled += 1
        return hidden

    def _audio(self) -> Iterator[AudioColumn]:
        """One audio: the column of BOS, then a column a step."""
        model, slot = self._model, self._slot
        column = torch.full((model.sizes.codebooks, 1), model.sizes.bos, device=model.device)
        slot.remember([column])
        self._made += 1
        yield AudioColumn(column[:, 0].cpu())
        begun, left = Delays.start(model.device)
        place = torch.tensor([self._filled], device=model.device)
        length = torch.tensor([slot.remembered], device=model.device)
        under_way: deque[Readback] = deque()
        while self._going():
            prefix = prefix_length(self._filled + 1, slot.cache.length)
            column, place, length, begun, left, told = slot.step(
                prefix, column, place, length, begun, left, self._uniform[self._made]
            )
            self._filled += 1
            self._made += 1
            slot.remembered += 1
            under_way.append(Readback(told))
            if len(under_way) > slot.lag:
                found = under_way.popleft().wait()
                yield found
                if found.last:
                    self._forget(len(under_way))
                    return
        while under_way:
            found = under_way.popleft().wait()
            yield found
            if found.last:
                self._forget(len(under_way))
                return

    def _forget(self, steps: int) -> None:
        """Steps that ran beyond the end of audio have not been."""
        self._filled -= steps
        self._made -= steps
        self._slot.remembered -= steps


class Readback:
    """A column on its way to the host. `told` (K + 1,): the ids and whether the audio ends."""

    def __init__(self, told: Tensor) -> None:
        self._event: Any = None
        if told.device.type == "cuda":
            self._told = torch.empty(told.shape, dtype=told.dtype, pin_memory=True)
            self._told.copy_(told, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._told = told.cpu().clone()

    def wait(self) -> AudioColumn:
        """The column, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return AudioColumn(self._told[:-1], bool(self._told[-1]))


def make_step(model: LanguageModel, slot: Slot) -> Any:
    """The step of `slot` as a function of tensors, for a `Stepper`. Running it twice does the same as once."""

    def step(
        prefix: int, column: Tensor, place: Tensor, length: Tensor, begun: Tensor, left: Tensor, uniform: Tensor
    ) -> tuple[Tensor, ...]:
        hidden = model.step(prefix, column, place, slot.cache)
        made = next_column(
            model.audio_logits(hidden)[0],
            slot.history,
            length,
            Delays(begun, left),
            slot.knobs,
            uniform,
            model.sizes.bos,
            model.sizes.eos,
        )
        ids = made.ids[:, None]
        slot.history.index_copy_(1, length, ids)
        told = torch.cat([made.ids, made.ended.reshape(1).to(made.ids.dtype)])
        return ids, place + 1, length + 1, made.delays.begun, made.delays.left, told

    return step
