"""A conversation that a request brings itself, instead of the messages made from its scene and voices."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from hub.contract import ResolvedRequest
from hub.contract.errors import InvalidRequest
from hub_higgs_audio.capabilities import SMART
from hub_higgs_audio.options import Line
from hub_higgs_audio.prompt import Audio, Message
from hub_higgs_audio.text.cleaning import without_control

_SCENE = re.compile(r"(<\|scene_desc_(?:start|end)\|>)")


def check_alone(request: ResolvedRequest) -> None:
    """Raise InvalidRequest if a request with a conversation has a voice, a scene, or turns as well."""
    if request.turns or request.scene_text or request.cast or request.voice not in (None, SMART):
        raise InvalidRequest(
            "the option `conversation` replaces voice, scene and turns; send only its text and references with it",
            field="options.conversation",
        )


def messages_of(lines: Sequence[Line], recordings: Sequence[Tensor]) -> list[Message]:
    """The messages; `recordings` are codes (K, T). Raises InvalidRequest for a recording that the request lacks.

    Control tokens are removed, except a system message's `<|scene_desc_start|>` and `<|scene_desc_end|>`.
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
    """A text whose only control tokens are those around a scene."""
    parts = _SCENE.split(text)
    return "".join(part if number % 2 else without_control(part) for number, part in enumerate(parts))
