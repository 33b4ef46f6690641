"""What a SpeechRequest must satisfy before a model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hub.audio.encode import EncoderSpec, check_format
from hub.contract.backend import BackendSpec, Capabilities
from hub.contract.errors import (
    InvalidRequest,
    TooLarge,
    UnsupportedCapability,
)
from hub.contract.speech import Reference, ResolvedRequest, Sampling, SpeechRequest
from hub.service.library.voice_fit import speaks
from hub.settings import LimitSettings
from hub.text.pauses import without_pauses
from hub.text.pronunciations import Pronunciations
from hub.text.speakable import is_speakable, nothing_to_speak


def check_text(request: SpeechRequest, limits: LimitSettings) -> None:
    """There is a text or there are turns, not too long, with something to say in each."""
    if request.text is not None and request.turns:
        raise InvalidRequest("give either `text` or `turns`, not both")
    texts = [turn.text for turn in request.turns] if request.turns else [request.text or ""]
    chars = sum(map(len, texts))
    if chars > limits.text_chars:
        raise TooLarge(
            f"the text has {chars} characters, the limit is {limits.text_chars}; split it, or raise limits.text_chars",
            chars=chars,
            limit=limits.text_chars,
        )
    for text in texts:
        if not is_speakable(without_pauses(text)):
            raise nothing_to_speak(blank=not text.strip())


def check_options(options: dict[str, Any], spec: BackendSpec) -> None:
    """`options` fit the backend's own Struct; a name that it does not know is refused."""
    if not options:
        return
    if spec.options is None:
        raise InvalidRequest(f"backend {spec.name!r} takes no options; leave `options` out")
    known = [field.encode_name for field in msgspec.structs.fields(spec.options)]
    if unknown := [name for name in options if name not in known]:
        raise InvalidRequest(
            f"backend {spec.name!r} has no option {unknown[0][:100]!r}; it has: {', '.join(known)}", options=known
        )
    try:
        msgspec.convert(options, spec.options)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options of backend {spec.name!r}: {error}", options=known) from None


def check_capabilities(request: SpeechRequest, model: str, can: Capabilities) -> None:
    """The model can do all that is asked for; raises UnsupportedCapability naming what it cannot."""
    needs: list[tuple[str, bool, str]] = [
        ("cloning", bool(request.references), "leave `references` out, or choose a model that clones voices"),
        ("scene", _described(request), "leave `scene` out, or choose one that is only a cast and defaults"),
        ("instruct", _instructs(request), "leave `instruct` out"),
        ("speed", request.speed != 1.0, "leave `speed` out"),
        ("seed", request.seed is not None, "leave `seed` out"),
        ("sampling", request.sampling != Sampling(), "leave `sampling` out"),
    ]
    for capability, asked, remedy in needs:
        if asked and not getattr(can, capability):
            raise UnsupportedCapability(
                f"model {model!r} has no {capability}: {remedy}", model=model, capability=capability
            )
    if request.language is not None and can.languages and not speaks(request.language, can.languages):
        raise UnsupportedCapability(
            f"model {model!r} does not speak {request.language[:50]!r}; it speaks: {', '.join(can.languages)}",
            model=model,
            capability="languages",
            languages=list(can.languages),
        )


def check_able(model: str, can: Capabilities, capability: str, what: str) -> None:
    """The model has `capability`, to do `what`; raises UnsupportedCapability."""
    if not getattr(can, capability):
        raise UnsupportedCapability(
            f"model {model!r} has no {capability}: choose a model that can {what}", model=model, capability=capability
        )


def _described(request: SpeechRequest) -> bool:
    """Whether there is a scene's description to be read; not known before the scene has been looked at."""
    return bool(request.scene_text) if isinstance(request, ResolvedRequest) else False


def _instructs(request: SpeechRequest) -> bool:
    return request.instruct is not None or any(turn.instruct is not None for turn in request.turns)


def check_request(
    request: SpeechRequest, spec: BackendSpec, limits: LimitSettings, encoders: Mapping[str, EncoderSpec]
) -> None:
    """All that can be checked without the loaded model."""
    check_format(request.format, encoders)
    check_text(request, limits)
    check_options(request.options, spec)
    check_one_voice(request.voice, request.references)


def check_one_voice(voice: str | None, references: Sequence[Reference]) -> None:
    """A request names a voice or brings recordings, not both."""
    if references and voice is not None:
        raise InvalidRequest("give either `voice` or `references`, not both")


def check_phonemes(words: Pronunciations, model: str, can: Capabilities) -> None:
    """Raises UnsupportedCapability if a word is spelled in phonemes and the model reads none."""
    if words.phonemes and not can.phonemes:
        raise UnsupportedCapability(
            f"model {model!r} has no phonemes: spell {words.phonemes[:40]!r} in ordinary letters",
            model=model,
            capability="phonemes",
        )
