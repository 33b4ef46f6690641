"""The generating loop: a prompt in, text tokens and audio columns out, one at a time.

On a GPU a step is one graph: the pass through the model, the draw, the redraw of repeats, the rules of the delay
pattern. Its outputs are the next step's inputs, so the device runs ahead. The host reads each column one step late,
passes it on, and sees whether the audio has ended. Steps computed beyond the end are dropped.
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
from hub_higgs_audio.model.sampling import Delays, SamplingParams, choose
from hub_higgs_audio.prompt import Prompt
from hub_higgs_audio.session import Session
from hub_higgs_audio.tokenizer import HiggsTokenizer


class TextToken(NamedTuple):
    """A text token of the reply."""

    id: int


class AudioColumn(NamedTuple):
    """A delayed column (K,) of the reply, on the CPU; each audio's first is all BOS. `last`: the audio ends here."""

    ids: Tensor
    last: bool = False


@dataclass(frozen=True)
class Limits:
    """The length of a reply: text tokens and columns together, BOS and tail included.

    With `only_audio` it ends with its first audio; otherwise when the model ends its message.
    """

    max_new_tokens: int
    only_audio: bool = True


class Prefix(NamedTuple):
    """The beginning that prompts share: its ids, and its keys and values (layers, 1, G, length, D)."""

    ids: tuple[int, ...]
    keys: Tensor
    values: Tensor


def prefill(
    model: LanguageModel, tokenizer: HiggsTokenizer, prompt: Prompt, session: Session, prefix: Prefix | None = None
) -> tuple[Tensor, int]:
    """Bring `prompt` into the session's cache. A `prefix`, with which it must begin, is copied and not computed.

    -> hidden states (T, C) of the computed positions, and the number of positions filled.
    """
    ids, columns = expanded(tokenizer, prompt)
    start = len(prefix.ids) if prefix is not None else 0
    if prefix is not None:
        session.cache.keys[:, :, :, :start] = prefix.keys
        session.cache.values[:, :, :, :start] = prefix.values
    if prefix is not None and model.adapter.masks_by_kind:
        session.cache.audio[:start] = torch.tensor([column is not None for column in columns[:start]])
    is_audio = torch.tensor([column is not None for column in columns[start:]])
    audio = [column for column in columns[start:] if column is not None]
    text = torch.tensor(ids[start:], device=model.device)
    hidden, rows = model.embed(text, torch.stack(audio, 1).to(model.device) if audio else None, is_audio)
    return model.run(hidden, rows, session.cache, start), len(ids)


def expanded(tokenizer: HiggsTokenizer, prompt: Prompt) -> tuple[list[int], list[Tensor | None]]:
    """Each position's id, a placeholder's once for each column of its audio, and its column (K,), if it has one."""
    ids: list[int] = []
    columns: list[Tensor | None] = []
    audios = iter(prompt.audios)
    for id in prompt.ids:
        found = list(next(audios).unbind(1)) if id in (tokenizer.audio, tokenizer.audio_out) else [None]
        ids += [id] * len(found)
        columns += found
    return ids, columns


def assistant_audio(tokenizer: HiggsTokenizer, prompt: Prompt) -> list[Tensor]:
    """The prompt's audio in messages of the assistant, where repeats are looked for."""
    kinds = [id for id in prompt.ids if id in (tokenizer.audio, tokenizer.audio_out)]
    return [audio for kind, audio in zip(kinds, prompt.audios, strict=True) if kind == tokenizer.audio_out]


class Generation:
    """One reply. Make it, then iterate over `run` once.

    `seed` makes its own generator, whose draws do not depend on device or load. The session is this reply's alone.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: HiggsTokenizer,
        session: Session,
        params: SamplingParams,
        limits: Limits,
        *,
        seed: int,
        stop: Stop,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._session = session
        self._limits = limits
        self._stop = stop
        books = model.sizes.codebooks
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(max(1, limits.max_new_tokens), 2, books, generator=generator, dtype=torch.float64)
        self._uniform = uniform.to(model.device, session.uniform_dtype)
        session.begin(params)
        self._filled = 0
        self._made = 0

    @torch.inference_mode()
    def run(self, prompt: Prompt, prefix: Prefix | None = None) -> Iterator[TextToken | AudioColumn]:
        """The reply, until it ends, reaches its limit, or `stop` is set (asked before each step)."""
        tokenizer = self._tokenizer
        hidden, self._filled = prefill(self._model, tokenizer, prompt, self._session, prefix)
        self._session.remember(assistant_audio(tokenizer, prompt))
        last, hidden = prompt.ids[-1], hidden[-1:]
        while self._going():
            if last == tokenizer.audio_out_bos:
                yield TextToken(tokenizer.audio_out)
                ended = False
                for column in self._audio():
                    ended = column.last
                    yield column
                if not ended or self._limits.only_audio:
                    return
                last = tokenizer.audio_eos
            else:
                last = self._text(hidden)
                yield TextToken(last)
                if last in (tokenizer.end_of_text, tokenizer.end_of_turn):
                    return
            if self._going():
                hidden = self._read(last)

    def _going(self) -> bool:
        return self._made < self._limits.max_new_tokens and not self._stop.is_set()

    def _text(self, hidden: Tensor) -> int:
        """The next text token. (1, C) -> an id; never the placeholder of audio, which only follows its begin token."""
        logits = self._model.text_logits(hidden)
        logits[:, self._tokenizer.audio_out] = -torch.inf
        chosen = choose(logits, self._session.params, self._uniform[self._made, 0, :1])
        self._made += 1
        return int(chosen)

    def _read(self, id: int) -> Tensor:
        """Take a text token into the context. -> (1, C)."""
        text = torch.tensor([id], device=self._model.device)
        hidden = self._model.embed_text(text)
        hidden = self._model.run(hidden, TEXT_ALONE, self._session.cache, self._filled)
        self._filled += 1
        return hidden

    def _audio(self) -> Iterator[AudioColumn]:
        """One audio: the column of BOS, then a column with each step."""
        model, session = self._model, self._session
        column = torch.full((model.sizes.codebooks, 1), model.sizes.bos, device=model.device)
        session.remember([column])
        self._made += 1
        yield AudioColumn(column[:, 0].cpu())
        begun, left = Delays.start(model.device)
        position = torch.tensor([self._filled], device=model.device)
        length = torch.tensor([session.remembered], device=model.device)
        under_way: deque[Readback] = deque()
        while self._going():
            prefix = prefix_length(self._filled + 1, session.cache.length)
            column, position, length, begun, left, for_host = session.step(
                prefix, column, position, length, begun, left, self._uniform[self._made]
            )
            self._filled += 1
            self._made += 1
            session.remembered += 1
            under_way.append(Readback(for_host))
            if len(under_way) > session.lag:
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
        """Undo the steps that ran beyond the end of audio."""
        self._filled -= steps
        self._made -= steps
        self._session.remembered -= steps


class Readback:
    """A column on its way to the host. `values` (K + 1,): the ids, and whether the audio ends."""

    def __init__(self, values: Tensor) -> None:
        self._event: Any = None
        if values.device.type == "cuda":
            with torch.cuda.device(values.device):  # else both would be the first GPU's
                self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                self._values.copy_(values, non_blocking=True)
                self._event = torch.cuda.Event()
                self._event.record()
        else:
            self._values = values.cpu().clone()

    def wait(self) -> AudioColumn:
        """The column, once the host has it."""
        if self._event is not None:
            self._event.synchronize()
        return AudioColumn(self._values[:-1], bool(self._values[-1]))
