"""The messages of the websocket and of server-sent events: one Struct for each `type`.

Each utterance ends with exactly one `done` or `fault`. Over the websocket each event names its utterance.
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
    """Configure the next utterances: the fields of a SpeechRequest, without text.

    With `audio="binary"` each `audio` event announces one binary frame; with "base64" it carries the audio itself
    (plain bytes in msgpack). `words` asks for a mark for each word.
    """

    audio: Literal["binary", "base64"] = "binary"
    words: bool = False

    def request(self) -> SpeechRequest:
        """Return the SpeechRequest. Raises InvalidRequest if it has text."""
        if self.text is not None or self.turns:
            raise InvalidRequest("leave `text` and `turns` out of `configure`, and send `text` messages", field="text")
        return SpeechRequest(**{name: getattr(self, name) for name in SpeechRequest.__struct_fields__})


class Text(Struct, tag="text", forbid_unknown_fields=True):
    """Add a piece of text to the open utterance. If none is open, open one, with this id or a new one."""

    text: str
    utterance: UtteranceId | None = None


class Flush(Struct, tag="flush", forbid_unknown_fields=True):
    """Speak the text so far, even an incomplete sentence."""


class EndOfText(Struct, tag="done", forbid_unknown_fields=True):
    """End the text of the open utterance."""


class Cancel(Struct, tag="cancel", forbid_unknown_fields=True):
    """Stop an utterance: the one named, else the first that has not ended. Its `done` says `cancelled`."""

    utterance: UtteranceId | None = None


class Close(Struct, tag="close", forbid_unknown_fields=True):
    """Speak all text to its end, then close."""


ClientMessage = Configure | Text | Flush | EndOfText | Cancel | Close


# -- to the client --------------------------------------------------------------------------------


class Configured(Struct, tag="configured", kw_only=True):
    """The configuration is valid and applies from the next utterance on."""

    model: str
    container: str
    audio: str


class Started(Struct, tag="started", kw_only=True, omit_defaults=True):
    """The first audio is ready."""

    utterance: str = ""
    model: str
    voice: str
    media_type: str
    sample_rate: int


class Audio(Struct, tag="audio", kw_only=True, omit_defaults=True):
    """The next `size` bytes of the utterance's audio, in `audio` or else in the binary frame that follows."""

    utterance: str = ""
    size: int
    audio: bytes | None = None


class Marked(Struct, tag="mark", kw_only=True, omit_defaults=True):
    """A Mark. Times are seconds from the start of the utterance's audio; `speaker` is set in a dialogue."""

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
        """Return the event for `mark`."""
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
    """An error, with the usual body: of an utterance if it names one, else of a message."""

    utterance: str = ""
    code: str
    message: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, error: HubError, utterance: str = "") -> Failed:
        """Return the event for `error`."""
        fault = error.to_fault()
        return cls(utterance=utterance, code=fault.code, message=fault.message, detail=fault.detail)


class Closed(Struct, tag="closed", kw_only=True):
    """The hub closes the websocket, with this close code."""

    code: int
    reason: str


ServerMessage = Configured | Started | Audio | Marked | Ended | Failed | Closed
