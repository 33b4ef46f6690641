"""Marks for models without marks."""

import numpy as np
import pytest

from hub.contract import AudioChunk, Done, Mark
from hub.contract.speech import SpeechRequest, Turn
from hub.service.speech.marks import MarkedSpeech
from hub.text.spoken import spoken_text

RATE = 1000


def chunk(seconds, span=None, value=0.5):
    return AudioChunk.of(np.full(round(seconds * RATE), value, np.float32), RATE, span)


class Recorded:
    """A speech of given events."""

    sample_rate, request_id, model, voice = RATE, "r", "m", "v"

    def __init__(self, *events):
        self._events = iter([*events, Done({"kept": True})])

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self._events)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self):
        pass


async def marks_of(text, *events, words=False):
    """Return (kind, text, start, end, estimated, the number of chunks before it) of each mark."""
    found, place, last = [], 0, None
    async for event in MarkedSpeech(Recorded(*events), text, words=words):
        if isinstance(event, Mark):
            mark = (event.kind, event.text, round(event.start, 3), round(event.end, 3), event.estimated)
            assert event.span is None or text[slice(*event.span)] == event.text
            found.append((*mark, place))
        else:
            place, last = place + 1, event
    assert last == Done({"kept": True})
    return found


TWO = "Hi you. Bye now."


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (  # a chunk for each sentence, spaces on either side
            [chunk(1, (0, 8)), chunk(2, (8, 16))],
            [("Hi you.", 0, 1, False, 1), ("Bye now.", 1, 3, False, 2)],
        ),
        (  # many chunks of one span
            [chunk(1, (0, 7)), chunk(1, (0, 7)), chunk(1), chunk(2, (7, 16)), chunk(2, (7, 16))],
            [("Hi you.", 0, 3, False, 3), ("Bye now.", 3, 7, False, 5)],
        ),
        (  # one chunk for all: in proportion
            [chunk(3.2, (0, 16))],
            [("Hi you.", 0, 1.422, True, 1), ("Bye now.", 1.541, 3.2, True, 1)],
        ),
        (  # no spans at all
            [chunk(1.6), chunk(1.6)],
            [("Hi you.", 0, 1.422, True, 2), ("Bye now.", 1.541, 3.2, True, 2)],
        ),
        (  # a pause between sentences belongs to neither
            [chunk(2, None, 0.0), chunk(1, (0, 7)), chunk(5, None, 0.0), chunk(2, (8, 16))],
            [("Hi you.", 2, 3, False, 3), ("Bye now.", 8, 10, False, 4)],
        ),
    ],
)
async def test_sentences_from_the_spans_of_chunks(events, expected):
    assert await marks_of(TWO, *events) == [("sentence", *mark) for mark in expected]


@pytest.mark.anyio
async def test_the_models_own_sentences_are_left_alone_and_get_words():
    own = [Mark("sentence", 0.0, 1.0, "Hi you.", (0, 7)), Mark("sentence", 1.0, 3.0, "Bye now.", (8, 16))]
    events = [chunk(1, (0, 7)), own[0], chunk(2, (7, 16)), own[1]]
    assert [mark[:3] for mark in await marks_of(TWO, *events)] == [
        ("sentence", "Hi you.", 0),
        ("sentence", "Bye now.", 1),
    ]
    words = [mark for mark in await marks_of(TWO, *events, words=True) if mark[0] == "word"]
    assert [(word[1], word[4]) for word in words] == [("Hi", True), ("you.", True), ("Bye", True), ("now.", True)]
    assert (words[0][2], words[-1][3]) == (0.0, 3.0)


@pytest.mark.anyio
async def test_segments_of_the_model_do_not_replace_sentences():
    found = await marks_of(TWO, chunk(3, (0, 16)), Mark("segment", 0.0, 3.0, TWO, (0, 16)))
    assert [mark[0] for mark in found] == ["segment", "sentence", "sentence"]


@pytest.mark.anyio
async def test_one_sentence_is_exact_whatever_the_model_tells():
    assert await marks_of("Just one.", chunk(1), chunk(1)) == [("sentence", "Just one.", 0.0, 2.0, False, 2)]


def test_the_text_that_spans_count_in():
    assert spoken_text(SpeechRequest(text="a\u200bb\r\nc")) == "ab\nc"
    assert spoken_text(SpeechRequest(turns=(Turn(text="a\x07"), Turn(text="b")))) == "a\nb"
