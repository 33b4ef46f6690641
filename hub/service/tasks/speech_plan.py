"""The body of a speech task (`SpeechTask`), and the plan that is stored when it is accepted (`SpeechJob`)."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from hub.contract.errors import HubError, InvalidRequest, TooLarge
from hub.contract.event import Span
from hub.contract.speech import SpeechRequest
from hub.service.speech.checks import check_request
from hub.service.speech.desk import Desk
from hub.service.speech.seeds import derive_seed
from hub.service.speech.vet import checked_cast, decode_references, settled_now, words_of
from hub.settings import TaskSettings
from hub.text.sentences import split_sentences
from hub.text.speakable import clean, is_speakable

MAX_ITEMS = 1000

TASK_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"


class Chapter(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a long text with its own file in the result."""

    text: str
    title: Annotated[str, Meta(max_length=500)] = ""


class SpeechTask(SpeechRequest, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A text of any length, a dialogue, a list of chapters that sound alike, or a batch of different requests.

    The other fields apply to all `chapters`. `items` are complete requests; with them the other fields stay empty.
    """

    id: (
        Annotated[str, Meta(pattern=TASK_ID, description="your own id: sent again, it is the same task, not a new one")]
        | None
    ) = None
    title: Annotated[str, Meta(max_length=500)] = ""
    chapters: Annotated[tuple[Chapter, ...], Meta(max_length=MAX_ITEMS, description="instead of text")] = ()
    items: Annotated[tuple[SpeechRequest, ...], Meta(max_length=MAX_ITEMS, description="a batch, instead of text")] = ()
    subtitles: Annotated[bool, Meta(description="also make SRT and WebVTT files")] = False


class JobItem(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One file of the result. `spans` are its segments in the cleaned `text`; a dialogue is one segment without a span.

    If `request` is None, the job's applies. With `drawn` the hub chose the seed, so a model without seeds ignores it.
    """

    seed: int
    drawn: bool
    text: str | None = None
    request: SpeechRequest | None = None
    title: str = ""
    spans: tuple[Span, ...] = ()


class SpeechJob(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The work of a task, fixed when it is accepted, because a later hub may split texts differently."""

    request: SpeechRequest
    items: tuple[JobItem, ...]
    subtitles: bool = False

    def segments(self) -> Iterator[Segment]:
        """Yield every segment, in the order of the result."""
        number = 0
        for index, item in enumerate(self.items):
            request = item.request or self.request
            for part, span in enumerate(item.spans or (None,)):
                text = item.text[span[0] : span[1]] if item.text is not None and span is not None else None
                seed = item.seed if part == 0 else derive_seed(item.seed, part)
                yield Segment(number, index, span, replace(request, text=text, seed=seed), item.drawn)
                number += 1


class Segment(Struct, frozen=True):
    """A piece that is spoken and recorded as a whole; `number` counts through the whole job, from 0."""

    number: int
    item: int
    span: Span | None
    request: SpeechRequest
    drawn: bool


def plan(desk: Desk, settings: TaskSettings, task: SpeechTask) -> SpeechJob:
    """Check a task, draw a seed if it has none, and split its texts into segments. Raises HubError."""
    template = _template(task)
    _check_sizes(task, settings.text_chars)
    size = min(settings.segment_chars, desk.limits.text_chars)
    common = template if task.items else _fixed(desk, template)
    seed = secrets.randbits(31) if common.seed is None else common.seed
    items: list[JobItem] = []
    for index, (title, text, request) in enumerate(_parts(task)):
        with _placed(index, task):
            asked = replace(common, text=text) if request is None else _fixed(desk, request)
            _check(desk, settings, asked)
        words = asked.text and clean(asked.text)
        exact = asked.seed is not None and (request is not None or index == 0)
        items.append(
            JobItem(
                seed=asked.seed if exact and asked.seed is not None else derive_seed(seed, index),
                drawn=asked.seed is None,
                text=words,
                request=request and replace(asked, text=None),
                title=title,
                spans=tuple(segment_spans(words, size)) if words is not None else (),
            )
        )
    return SpeechJob(request=replace(common, text=None), items=tuple(items), subtitles=task.subtitles)


async def check_loaded(desk: Desk, job: SpeechJob, task: SpeechTask) -> None:
    """Decode a job's recordings; check its voices against those of its models that are loaded. Raises HubError."""
    own = [(index, item.request) for index, item in enumerate(job.items) if item.request is not None]
    for index, request in own or [(0, job.request)]:
        with _placed(index, task if own else None):
            settled, model = await asyncio.to_thread(settled_now, desk, request)
            references = await decode_references(settled.references, desk.limits.reference_seconds)
            settled = replace(settled, references=references)
            if model.loaded is not None:
                words = await asyncio.to_thread(words_of, desk, settled)
                await checked_cast(desk, settled, model.name, model.loaded, words)


def _fixed(desk: Desk, request: SpeechRequest) -> SpeechRequest:
    """Fill in the scene's defaults and the model's name, so that neither changes while the task waits."""
    settled, _ = settled_now(desk, request)
    words_of(desk, settled)  # an unknown dictionary is an error now, not when the task runs
    return SpeechRequest(**{name: getattr(settled, name) for name in SpeechRequest.__struct_fields__})


@contextmanager
def _placed(index: int, task: SpeechTask | None) -> Iterator[None]:
    """Add the number of the item to an error's message."""
    try:
        yield
    except HubError as error:
        if task is not None and (task.items or task.chapters):
            error.message = f"item {index + 1}: {error.message}"
        raise


def segment_spans(text: str, size: int) -> Iterator[Span]:
    """Split `text` into pieces of whole sentences, up to `size` characters, at a paragraph's end from half of that."""
    start = end = -1
    for sentence in split_sentences(text, max_chars=size):
        if start < 0:
            start = sentence.start
        elif not _speakable(sentence.text) or not _speakable(text[start:end]):
            pass  # a pause or a lone punctuation mark is not speech by itself
        elif sentence.end - start > size or (end - start >= size // 2 and text.count("\n", end, sentence.start) > 1):
            yield start, end
            start = sentence.start
        end = sentence.end
    if start >= 0:
        yield start, end


_PAUSE = re.compile(r"\[pause:[^\]]*\]")


def _speakable(text: str) -> bool:
    return is_speakable(_PAUSE.sub("", text))


def _template(task: SpeechTask) -> SpeechRequest:
    """Return the fields that `task` shares with SpeechRequest. Raises InvalidRequest for contradicting fields."""
    template = SpeechRequest(**{name: getattr(task, name) for name in SpeechRequest.__struct_fields__})
    if task.items and template != SpeechRequest():
        raise InvalidRequest("with `items`, each item is a complete request: leave the fields beside `items` out")
    if task.chapters and (task.text is not None or task.turns):
        raise InvalidRequest("give `chapters`, or `text`, or `turns`")
    if task.items and task.chapters:
        raise InvalidRequest("give either `items` or `chapters`, not both")
    if task.stream or any(item.stream for item in task.items):
        raise InvalidRequest("a task's result is whole: leave `stream` out, or use POST /v1/speech", field="stream")
    return template


def _parts(task: SpeechTask) -> Iterator[tuple[str, str | None, SpeechRequest | None]]:
    """Yield (title, text, own request) of each file to make."""
    if task.items:
        yield from (("", None, request) for request in task.items)
    elif task.chapters:
        yield from ((chapter.title, chapter.text, None) for chapter in task.chapters)
    else:
        yield task.title, task.text, None


def _check_sizes(task: SpeechTask, limit: int) -> None:
    requests: list[Any] = [task, *task.items]
    texts = [request.text or "" for request in requests] + [chapter.text for chapter in task.chapters]
    texts += [turn.text for request in requests for turn in request.turns]
    chars = sum(map(len, texts))
    if chars > limit:
        raise TooLarge(
            f"the task has {chars} characters, the limit is {limit}; split it, or raise tasks.text_chars",
            chars=chars,
            limit=limit,
        )


def _check(desk: Desk, settings: TaskSettings, request: SpeechRequest) -> None:
    """Check a request as far as possible now; a text may be as long as a task's, a dialogue as long as a request's."""
    limits = desk.limits
    if not request.turns:
        limits = replace(limits, text_chars=settings.text_chars)
    check_request(request, desk.models.get(request.model).spec, limits, desk.encoders)
