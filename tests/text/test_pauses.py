import pytest

from hub.contract.errors import InvalidRequest
from hub.text.pauses import Pause, Stretch, split_pauses, without_pauses


def test_pauses_divide_a_text():
    text = "One.[pause:1s] Two [PAUSE:250ms]three[pause:0.5s]"
    assert split_pauses(text) == [
        Stretch("One.", 0, 4),
        Pause(1.0),
        Stretch(" Two ", 14, 19),
        Pause(0.25),
        Stretch("three", 32, 37),
        Pause(0.5),
    ]
    assert "pause" not in without_pauses(text)


@pytest.mark.parametrize("text", ["", "no pause", "[pause]", "[paused: yes]", "a [break] of the [ pause ] tag"])
def test_other_brackets_are_text(text):
    assert split_pauses(text) == [Stretch(text, 0, len(text))]


@pytest.mark.parametrize(
    "marker",
    [
        "[pause:]",
        "[pause:1]",
        "[pause:1 s",
        "[pause:-1s]",
        "[pause:1h]",
        "[pause:٣s]",
        "[pause: long]",
        "[pause: 1s]",
        "[ pause:1s]",
    ],
)
def test_an_invalid_pause_is_refused(marker):
    with pytest.raises(InvalidRequest, match="invalid pause"):
        split_pauses(f"before {marker} after")


def test_a_pause_has_a_limit():
    assert split_pauses("[pause:30s]") == [Pause(30.0)]
    with pytest.raises(InvalidRequest, match="too long"):
        split_pauses("[pause:30001ms]")
