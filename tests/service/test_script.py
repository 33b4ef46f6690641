"""Scripts of generated texts: their lines, and the positions in the source."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.contract import Capabilities, ResolvedRequest, Turn
from hub.contract.backend import Loaded
from hub.contract.errors import EmptyText, InvalidRequest, UnspeakableText
from hub.service.speech.script import Say, Silence, pieces, read
from hub.text.pronunciations import Pronunciations

BITS = [
    "[pause:10ms]",
    "[pause:1s]",
    "SQL",
    "the cat",
    "你好",
    "重庆",
    " ",
    "\n",
    "...",
    "\u200b",
    "é",
    "e\u0301",
    "?",
    "x",
]
WORDS = Pronunciations({"sql": "sequel", "cat": "", "重庆": "虫 庆", "x": "an unknown", "é": "e"})

texts = st.lists(st.sampled_from(BITS), max_size=12).map("".join)


class Loud:
    order = 0

    def filter(self, text, request):
        return text.replace("the", "THE VERY").replace("?", "")


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    turns=st.lists(st.tuples(st.sampled_from("AB"), texts), min_size=1, max_size=4),
    dialogue=st.booleans(),
    filtered=st.booleans(),
)
def test_every_place_leads_back_into_its_own_line_in_order(turns, dialogue, filtered):
    request = ResolvedRequest(turns=tuple(Turn(speaker=speaker, text=text) for speaker, text in turns), seed=3)
    try:
        script = read(request, [Loud()] if filtered else [], WORDS, 10_000)
    except (EmptyText, UnspeakableText):
        return
    found = pieces(script, request, "m", Loaded(contract=1, capabilities=Capabilities(dialogue=dialogue)))
    says = [piece for piece in found if isinstance(piece, Say)]
    pauses = sum(text.count("[pause:1s]") + 0.01 * text.count("[pause:10ms]") for _, text in turns)
    gaps = 0 if dialogue else 0.3 * (len(turns) - 1)
    assert sum(piece.seconds for piece in found if isinstance(piece, Silence)) == pytest.approx(pauses + gaps)
    assert len({say.request.seed for say in says}) == len(says)
    last = 0
    for say in says:
        text = "\n".join(turn.text for turn in say.request.turns) or say.request.text
        assert "pause" not in text
        begin, end = say.origin.span
        assert 0 <= last <= begin < end <= len(script.source)
        last = end
        places = [say.origin.back((place, place + 1)) for place in range(len(text))]
        assert all(begin <= start <= stop <= end for start, stop in places)
        assert places == sorted(places)
        kept = [script.source[slice(*place)] for place, char in zip(places, text, strict=True) if char in "你好"]
        assert kept == [char for char in text if char in "你好"]  # no rule rewrites these
        if say.origin.same:
            assert text == script.source[begin:end]


def test_text_in_brackets_is_read_and_an_invalid_pause_is_refused():
    def reading(text):
        return read(ResolvedRequest(text=text), [], WORDS, 10_000)

    assert [line.text for line in reading("[pause] and [break]").lines] == ["[pause] and [break]"]
    with pytest.raises(InvalidRequest, match="invalid pause"):
        reading("[pause:1m]")
