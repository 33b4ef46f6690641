"""A conversation that a request brings itself, in place of the messages that are built of its scene and voices."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from hub.contract import ResolvedRequest
from hub.contract.errors import InvalidRequest
from hub_higgs_audio.options import Line
from hub_higgs_audio.prompt import Audio, Message
from hub_higgs_audio.tokens import without_control
from hub_higgs_audio.voices import SMART

_SCENE = re.compile(r"(<\|scene_desc_(?:start|end)\|>)")


def check_alone(request: ResolvedRequest) -> None:
    """Raises InvalidRequest where a request with a conversation names a voice, a scene, or turns as well."""
    if request.turns or request.scene_text or request.cast or request.voice not in (None, SMART):
        raise InvalidRequest(
            "the option `conversation` is in place of voice, scene and turns; send its text and references alone",
            field="options.conversation",
        )


def messages_of(lines: Sequence[Line], recordings: Sequence[Tensor]) -> list[Message]:
    """The messages; `recordings` are codes (K, T). Raises InvalidRequest for a recording that is not there.

    What reads as a control token is taken out, but for the marks of a scene in a system message.
    """
    return [Message(line.role, [_part(line, part, recordings) for part in line.content]) for line in lines]


def _part(line: Line, part: str | int, recordings: Sequence[Tensor]) -> str | Audio:
    if isinstance(part, str):
        return _with_scene(part) if line.role == "system" else without_control(part)
    if not 0 <= part < len(recordings):
        raise InvalidRequest(
            f"the conversation has recording {part}, and the request {len(recordings)} references, counted from 0",
            field="options.conversation",
        )
    return Audio(recordings[part])


def _with_scene(text: str) -> str:
    """A text whose only control tokens are the marks of a scene."""
    parts = _SCENE.split(text)
    return "".join(part if place % 2 else without_control(part) for place, part in enumerate(parts))
