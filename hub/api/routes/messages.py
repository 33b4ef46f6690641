"""What is said over the websocket and in server-sent events: one Struct for each `type`.

Everywhere an utterance ends with exactly one `done` or `fault`. Over the websocket each event names its utterance.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.contract.errors import HubError, InvalidRequest
from hub.contract.event import Mark, Span
from hub.contract.speech import SpeechRequest

UtteranceId = Annotated[str, Meta(min_length=1, max_length=64)]


# -- from the client ------------------------------------------------------------------------------


class Configure(SpeechRequest, tag="configure", kw_only=True, omit_defaults=True):
    """How the next utterances are spoken: the fields of a SpeechRequest, without text.

    `audio`: each `audio` event announces one binary frame, or carries its audio itself (`base64`; plain bytes in
    msgpack). `words` asks for a mark for each word.
    """

    audio: Literal["binary", "base64"] = "binary"
    words: bool = False

    def request(self) -> SpeechRequest:
        """As a SpeechRequest. Raises InvalidRequest if it has text."""
        if self.text is not None or self.turns:
            raise InvalidRequest("leave `text` and `turns` out of `configure`, and send `text` messages", field="text")
        return SpeechRequest(**{name: getattr(self, name) for name in SpeechRequest.__struct_fields__})


class Text(Struct, tag="text", forbid_unknown_fields=True):
    """A piece of text for the open utterance; opens one, by this id or a new one, if there is none."""

    text: str
    utterance: UtteranceId | None = None


class Flush(Struct, tag="flush", forbid_unknown_fields=True):
    """Speak what is there, complete or not."""


class EndOfText(Struct, tag="done", forbid_unknown_fields=True):
    """The open utterance has all its text."""


class Cancel(Struct, tag="cancel", forbid_unknown_fields=True):
    """Stop one utterance: the one named, else the first that has not ended. Its `done` says `cancelled`."""

    utterance: UtteranceId | None = None


class Close(Struct, tag="close", forbid_unknown_fields=True):
    """Speak what is there to the end, then close."""


ClientMessage = Configure | Text | Flush | EndOfText | Cancel | Close


# -- to the client --------------------------------------------------------------------------------


class Configured(Struct, tag="configured", kw_only=True):
    """The configuration is sound, and holds from the next utterance on."""

    model: str
    container: str
    audio: str


class Started(Struct, tag="started", kw_only=True, omit_defaults=True):
    """The first audio is there."""

    utterance: str = ""
    model: str
    voice: str
    media_type: str
    sample_rate: int


class Audio(Struct, tag="audio", kw_only=True, omit_defaults=True):
    """The next `size` bytes of the utterance's audio: in `audio`, else in the binary frame that follows."""

    utterance: str = ""
    size: int
    audio: bytes | None = None


class Marked(Struct, tag="mark", kw_only=True, omit_defaults=True):
    """A Mark. Times are seconds from the start of the utterance's audio; `speaker` is told in a dialogue."""

    utterance: str = ""
    kind: str
    start: float
    end: float
    text: str
    span: Span | None
    estimated: bool
    speaker: str | None = None

    @classmethod
    def of(cls, mark: Mark, utterance: str = "") -> Marked:
        """The event for `mark`."""
        start, end = round(mark.start, 4), round(mark.end, 4)
        return cls(
            utterance=utterance,
            kind=mark.kind,
            start=start,
            end=end,
            text=mark.text,
            span=mark.span,
            estimated=mark.estimated,
            speaker=mark.speaker,
        )


class Ended(Struct, tag="done", kw_only=True, omit_defaults=True):
    """All audio of the utterance has been sent, or it was `cancelled`."""

    utterance: str = ""
    seconds: float
    cancelled: bool = False
    report: dict[str, Any] = {}


class Failed(Struct, tag="fault", kw_only=True, omit_defaults=True):
    """An error, with the body that errors have everywhere: of an utterance, or without one of a message."""

    utterance: str = ""
    code: str
    message: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, error: HubError, utterance: str = "") -> Failed:
        """The event for `error`."""
        fault = error.to_fault()
        return cls(utterance=utterance, code=fault.code, message=fault.message, detail=fault.detail)


class Closed(Struct, tag="closed", kw_only=True):
    """The hub closes the websocket, with this close code."""

    code: int
    reason: str


ServerMessage = Configured | Started | Audio | Marked | Ended | Failed | Closed
