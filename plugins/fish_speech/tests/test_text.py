"""The segments of a text: what is spoken in one go, its position in the text, and how long it may take."""

import pytest
from hub_fish_speech.text.cleaning import clean_text
from hub_fish_speech.text.dialogue import dialogue_segments, tagged_turns
from hub_fish_speech.text.duration import spoken_seconds
from hub_fish_speech.text.segments import segments_of
from hub_fish_speech.text.splitting import split_text
from hub_fish_speech.variants import S1, S2, V1_4, V1_5, VARIANTS

from hub.contract import Turn

PROSE = "The door opened. Nobody came in, and nobody went out! Was it the wind? It was 3.5 degrees; later, 2.0.1 of it."


def test_1_4_drops_brackets_that_1_5_reads():
    assert clean_text("“One” (two): 【three】…", V1_4) == "'One' two, three."
    assert clean_text("‘One’ (two): three,,, \U0001f600", V1_5) == "'One' (two): three, "


def test_a_decimal_point_ends_no_sentence():
    assert split_text("It is 3.14 here. And that is all of it.", 20, V1_5) == [
        "It is 3.14 here.",
        "And that is all of",
        "it.",
    ]


def letters(text):
    return [character for character in text if character.isalnum()]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("limit", [7, 24, 60, 1000])
def test_segments_have_every_word_once_and_know_their_position(variant, limit):
    segments = segments_of(PROSE, variant, limit)
    assert letters("".join(segment.text for segment in segments)) == letters(PROSE)
    end = 0
    for segment in segments:
        start, stop = segment.span
        assert end <= start < stop <= len(PROSE)
        assert len(segment.text) <= max(limit, 12)
        end = stop


def test_neighbouring_sentences_are_spoken_together():
    assert [segment.text for segment in segments_of("One. Two. Three. Four.", S1, 12)] == ["One. Two.", "Three. Four."]


def test_words_before_the_first_speaker_are_not_lost():
    text = "Once upon a time. <|speaker:0|>Hello. <|speaker:1|>Hi!"
    assert [text[turn.words : turn.end].strip() for turn in tagged_turns(text)] == ["Hello.", "Hi!"]
    assert [segment.text for segment in segments_of(text, S2, 300)] == [
        "Once upon a time.",
        "<|speaker:0|>Hello.\n<|speaker:1|>Hi!",
    ]


def test_a_long_turn_is_cut_and_every_part_has_its_speaker():
    text = "<|speaker:0|>Yes.<|speaker:7|>" + "This is a sentence. " * 20
    segments = segments_of(text, S2, 100)
    assert len(segments) > 3
    assert all(segment.text.startswith("<|speaker:7|>") for segment in segments[1:])


def test_turns_are_numbered_by_who_speaks_first():
    turns = [Turn(text="Hello there.", speaker="b"), Turn(text="...", speaker="c"), Turn(text="Hi.", speaker="a")]
    (segment,) = dialogue_segments([*turns, Turn(text="Bye.", speaker="b")], 300)
    assert segment.text == "<|speaker:0|>Hello there.\n<|speaker:2|>Hi.\n<|speaker:0|>Bye."
    assert segment.span == (0, len("Hello there.\n...\nHi.\nBye."))


def test_a_long_turn_of_a_dialogue_is_spoken_in_parts():
    turns = [Turn(text="Short.", speaker="x"), Turn(text="It goes on and on. " * 12, speaker="y")]
    segments = dialogue_segments(turns, 80)
    whole = "\n".join(turn.text for turn in turns)
    assert len(segments) > 2
    assert all(whole[slice(*segment.span)].startswith("It goes") for segment in segments[1:])


def test_numbers_and_syllables_may_take_longer_than_letters():
    assert spoken_seconds("1987") > spoken_seconds("year")
    assert spoken_seconds("你好世界") > spoken_seconds("word")
    assert spoken_seconds("<|speaker:12|>word") == spoken_seconds("word")
