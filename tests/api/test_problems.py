from typing import Literal

import msgspec
import pytest
from msgspec import Struct

from hub.api.http.problems import invalid_body
from hub.contract import SpeechRequest


class Leaf(Struct, forbid_unknown_fields=True):
    colour: Literal["red", "green"] = "red"


class Tree(Struct, forbid_unknown_fields=True, rename="camel"):
    the_leaves: list[Leaf | None] = []
    by_name: dict[str, Leaf] = {}
    number: int = 0


def problem(kind, body):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    error = invalid_body(caught.value, kind)
    return error.message, error.detail


@pytest.mark.parametrize(
    ("body", "message", "detail"),
    [
        (
            '{"nummer": 1}',
            "unknown field 'nummer'; allowed here: theLeaves, byName, number",
            {"field": "nummer", "unknown": "nummer", "allowed": ["theLeaves", "byName", "number"]},
        ),
        (
            '{"theLeaves": [null, {"color": 1}]}',
            "unknown field 'theLeaves[1].color'; allowed here: colour",
            {"field": "theLeaves[1].color", "unknown": "theLeaves[1].color", "allowed": ["colour"]},
        ),
        (
            '{"byName": {"a": {"colour": "blue"}}}',
            "byName[...].colour: invalid enum value 'blue'; allowed: green, red",
            {"field": "byName[...].colour", "allowed": ["green", "red"]},
        ),
        ('{"number": "1"}', "number: expected int, got str", {"field": "number"}),
        ("[]", "the body: expected object, got array", {"field": ""}),
    ],
)
def test_problems_name_the_field_and_what_is_allowed(body, message, detail):
    assert problem(Tree, body) == (message, detail)


def test_a_missing_field_is_named():
    message, detail = problem(SpeechRequest, '{"turns": [{"speaker": "a"}]}')
    assert message == "missing field 'turns[0].text'"
    assert detail == {"field": "turns[0].text", "missing": "turns[0].text"}


def test_a_range_is_named():
    assert problem(SpeechRequest, '{"speed": 9}')[0] == "speed: expected float <= 4.0"
