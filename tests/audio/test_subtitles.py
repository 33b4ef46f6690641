"""Marks to subtitles: readable, in time, and valid for another program's parser."""

import io
import unicodedata
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.audio.subtitles import COLUMNS, LONGEST, WIDE_COLUMNS, make_cues, subtitles, to_srt, to_vtt, word_marks
from hub.contract import Mark

LATIN = (
    "It was a bright cold day in April, and the clocks were striking thirteen; nobody in the whole street "
    "looked up from what they were doing, because the clocks had always done so."
)
CHINESE = (
    "我们坐在湖边，看着太阳慢慢地落下去，谁也没有说话；过了很久，他才站起来，"
    "说他明天一早就要离开这座城市，再也不会回来了。"
)


def sentence(text, start=0.0, end=4.0, **fields):
    return Mark("sentence", start, end, text, **fields)


def parsed(file, format):
    """Return (start, end, text) of each cue, as libav reads the file."""
    with av.open(io.BytesIO(file.encode()), format={"srt": "srt", "vtt": "webvtt"}[format]) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size]
        return [
            (float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base), bytes(p).decode()) for p in packets
        ]


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_another_parser_reads_the_times_and_the_text(format):
    marks = [sentence("Hello there.", 0.25, 1.5), sentence("你好！", 3600, 3601.0625), sentence("Bye.", 3662, 3663.5)]
    assert parsed(subtitles(marks, format), format) == [
        (0.25, 1.5, "Hello there."),
        (3600.0, 3601.062, "你好！"),
        (3662.0, 3663.5, "Bye."),
    ]


def test_the_files_themselves():
    cues = make_cues([sentence("One & two.", 0.0, 1.25)])
    assert to_srt(cues) == "1\n00:00:00,000 --> 00:00:01,250\nOne & two.\n"
    assert to_vtt(cues) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nOne &amp; two.\n"
    assert to_srt([]) == ""
    assert to_vtt([]) == "WEBVTT\n"
    with pytest.raises(ValueError, match="srt or vtt"):
        subtitles([], "ass")


def test_subtitles_of_a_dialogue_name_the_speakers():
    told = [("Hello.", "Anna"), ("Are you there?", "Anna"), ("Yes.", "Bo <b> & Co")]
    marks = [sentence(text, n, n + 1.0, speaker=name) for n, (text, name) in enumerate(told)]
    assert [text for _, _, text in parsed(subtitles(marks, "srt"), "srt")] == [
        "Anna: Hello.",
        "Are you there?",
        "Bo <\u2060b> & Co: Yes.",
    ]
    assert "\n<v Anna>Are you there?\n" in subtitles(marks, "vtt")
    assert "\n<v Bo &lt;b&gt; &amp; Co>Yes.\n" in subtitles(marks, "vtt")
    assert {mark.speaker for mark in word_marks(marks[0])} == {"Anna"}


@pytest.mark.parametrize("text", ["a --> b", "<b>bold</b> & <i>", "{\\an8}up", "1\n\n2\n3", "x\x00y\u2028z", "&lt;"])
@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_no_text_breaks_the_file_or_becomes_a_tag(text, format):
    file = subtitles([sentence(text, 0, 1), sentence("next", 1, 2)], format)
    cues = parsed(file, format)
    assert [cue[:2] for cue in cues] == [(0, 1), (1, 2)]
    assert file.count("-->") == 2
    if format == "vtt":
        assert "<" not in file.replace("&lt;", "")
    else:
        assert "<b>" not in file
        assert "{\\" not in file


@pytest.mark.parametrize(("text", "columns"), [(LATIN, COLUMNS), (CHINESE, WIDE_COLUMNS)])
def test_a_long_sentence_becomes_cues_of_two_lines(text, columns):
    cues = make_cues([sentence(text, 2.0, 14.0)])
    assert len(cues) >= 2
    assert (cues[0].start, cues[-1].end) == (2.0, 14.0)
    assert all(len(cue.lines) <= 2 and width(line) <= columns for cue in cues for line in cue.lines)
    assert all(cue.end - cue.start <= LONGEST for cue in cues)
    joiner = " " if text is LATIN else ""
    assert joiner.join(line for cue in cues for line in cue.lines) == text
    assert all(not line.startswith(tuple("，。；、")) for cue in cues for line in cue.lines)
    assert cues[0].lines[-1][-1] in ",;，；"  # cut where a clause ends


def test_a_word_longer_than_a_line_is_cut():
    url = "https://example.org/" + "a" * 150
    cues = make_cues([sentence(f"See {url} now.")])
    assert all(width(line) <= COLUMNS for cue in cues for line in cue.lines)
    assert "".join(line for cue in cues for line in cue.lines).replace(" ", "") == f"See{url}now."


def test_marked_words_give_the_times_of_a_sentences_parts():
    words = LATIN.split()
    marks = [sentence(LATIN, 0.0, 100.0)]
    marks += [Mark("word", 3.0 * n, 3.0 * n + 1, word) for n, word in enumerate(words)]
    for cue in make_cues(marks):
        first = words.index(cue.lines[0].split()[0])
        assert cue.start == 3.0 * first or words.count(words[first]) > 1
    assert make_cues(marks)[0].end <= 3.0 * 3


def test_words_alone_become_phrases():
    told = [("Hello", 0.0), ("there.", 0.4), ("How", 1.0), ("are", 1.3), ("you", 3.0)]
    cues = make_cues([Mark("word", start, start + 0.3, text) for text, start in told])
    assert [cue.lines for cue in cues] == [("Hello there.",), ("How are",), ("you",)]
    assert [cue.start for cue in cues] == [0.0, 1.0, 3.0]
    wide = make_cues([Mark("word", n, n + 1.0, c) for n, c in enumerate("今天好")])
    assert [cue.lines for cue in wide] == [("今天好",)]


def test_a_short_cue_stays_until_it_is_read_but_not_into_the_next():
    cues = make_cues([sentence("Yes.", 0.0, 0.2), sentence("No.", 0.5, 0.7), sentence("Well.", 9.0, 9.1)])
    assert [(cue.start, cue.end) for cue in cues] == [(0.0, 0.5), (0.5, 1.5), (9.0, 9.1)]


def test_word_marks_are_estimated_and_fill_the_sentence():
    marks = word_marks(sentence("Hi 「你好，世界」 3 times!", 1.0, 3.0, span=(10, 30)))
    assert [mark.text for mark in marks] == ["Hi", "「你", "好，", "世", "界」", "3", "times!"]
    assert (marks[0].start, marks[-1].end) == (1.0, pytest.approx(3.0))
    assert all(mark.estimated and mark.kind == "word" for mark in marks)
    assert marks[1].span == (13, 15)
    assert marks[1].end - marks[1].start > marks[0].end - marks[0].start  # an ideograph takes longer than two letters
    assert word_marks(sentence("")) == []


TEXT = st.text(st.sampled_from("ab ,.1好。「」ー\n̈가é"), min_size=1, max_size=120).filter(str.strip)


@given(st.lists(st.tuples(TEXT, st.floats(0, 9), st.floats(0, 3)), max_size=5))
def test_cues_are_in_order_within_their_lines_and_lose_nothing(sentences):
    marks, at = [], 0.0
    for text, seconds, gap in sentences:
        marks.append(sentence(text, at, at + seconds))
        at += seconds + gap
    cues = make_cues(marks)
    assert all(earlier.end <= later.start for earlier, later in pairwise(cues))
    assert all(cue.start < cue.end for cue in cues)
    assert all(1 <= len(cue.lines) <= 2 and all(width(line) <= COLUMNS + 2 for line in cue.lines) for cue in cues)
    shown = "".join("".join(cue.lines) for cue in cues)
    assert "".join(shown.split()) == "".join("".join(text for text, _, _ in sentences).split())
