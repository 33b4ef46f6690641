"""The messages of a chat as a request of the hub: a conversation, its recordings, and the text to say, the last one."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from hub.contract.errors import InvalidRequest
from hub.contract.speech import Reference

MOST_RECORDINGS = 16
"""The most recordings that a request of the hub may have."""

_DATA = "data:"


class TextPart(Struct, tag="text", tag_field="type", forbid_unknown_fields=True):
    """A piece of text."""

    text: str


class InputAudio(Struct, kw_only=True, forbid_unknown_fields=True):
    """An audio file as base64. `format` is ignored: the file itself says what it is."""

    data: str
    format: str | None = None


class AudioPart(Struct, tag="input_audio", tag_field="type", forbid_unknown_fields=True):
    """A recording."""

    input_audio: InputAudio


class AudioUrl(Struct, forbid_unknown_fields=True):
    """A `data:` URL with an audio file in it."""

    url: str


class UrlPart(Struct, tag="audio_url", tag_field="type", forbid_unknown_fields=True):
    """A recording, as clients of vLLM send it."""

    audio_url: AudioUrl


Part = TextPart | AudioPart | UrlPart


class ChatMessage(Struct, kw_only=True, forbid_unknown_fields=True):
    """One message. An assistant's recording is the voice that answers, speaking the message before it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: Annotated[str, Meta(description="ignored")] | None = None


class Chat(NamedTuple):
    """`lines` are the option `conversation`, with positions in `references`. `text` is to be said."""

    lines: list[dict[str, Any]]
    references: tuple[Reference, ...]
    text: str


def chat_of(messages: list[ChatMessage]) -> Chat:
    """Raises InvalidRequest if the last message is not a user's text, or for bad base64, or too many recordings."""
    if not messages or messages[-1].role != "user":
        raise InvalidRequest("the last of `messages` must be a user's: it is what is spoken", field="messages")
    recordings: list[bytes] = []
    lines = []
    for message in messages:
        parts = [TextPart(message.content)] if isinstance(message.content, str) else message.content
        content: list[str | int] = []
        for part in parts:
            if isinstance(part, TextPart):
                content.append(part.text)
            else:
                content.append(len(recordings))
                recordings.append(_audio(part))
        role = "system" if message.role == "developer" else message.role
        lines.append({"role": role, "content": content})
    words = lines.pop()["content"]
    if not all(isinstance(word, str) for word in words):
        raise InvalidRequest(
            "the last of `messages` is what is spoken, and may contain only text; put the voice to speak like before "
            "it, as a user's message with the transcript and an assistant's message with the recording",
            field="messages",
        )
    if len(recordings) > MOST_RECORDINGS:
        raise InvalidRequest(f"`messages` have {len(recordings)} recordings; the most is {MOST_RECORDINGS}")
    return Chat(lines, tuple(Reference(audio=audio) for audio in recordings), "".join(map(str, words)))


def _audio(part: AudioPart | UrlPart) -> bytes:
    if isinstance(part, UrlPart):
        head, found, data = part.audio_url.url.partition(";base64,")
        if not found or not head.startswith(_DATA):
            raise InvalidRequest(
                "audio_url takes a URL that contains the audio, `data:audio/wav;base64,...`; nothing is fetched",
                field="messages",
            )
    else:
        data = part.input_audio.data
    try:
        return base64.b64decode("".join(data.split()), validate=True)  # some tools break its lines
    except (binascii.Error, ValueError):
        raise InvalidRequest("a recording in `messages` is not valid base64", field="messages") from None
