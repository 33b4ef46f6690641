"""The checks of a SpeechRequest before a model gets it."""

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
    """Check that there is a text or turns, not too long, each with words. Raises InvalidRequest, TooLarge."""
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
    """Check `options` against the backend's own Struct. Raises InvalidRequest, also for an unknown name."""
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
    """Check that the model can do what the request asks for. Raises UnsupportedCapability."""
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
    """Check that the model has `capability`, which lets it do `what`. Raises UnsupportedCapability."""
    if not getattr(can, capability):
        raise UnsupportedCapability(
            f"model {model!r} has no {capability}: choose a model that can {what}", model=model, capability=capability
        )


def _described(request: SpeechRequest) -> bool:
    """Return True if the request has a scene's description; before its scene is read, that is unknown."""
    return bool(request.scene_text) if isinstance(request, ResolvedRequest) else False


def _instructs(request: SpeechRequest) -> bool:
    return request.instruct is not None or any(turn.instruct is not None for turn in request.turns)


def check_request(
    request: SpeechRequest, spec: BackendSpec, limits: LimitSettings, encoders: Mapping[str, EncoderSpec]
) -> None:
    """Check all that needs no loaded model. Raises InvalidRequest, TooLarge."""
    check_format(request.format, encoders)
    check_text(request, limits)
    check_options(request.options, spec)
    check_one_voice(request.voice, request.references)


def check_one_voice(voice: str | None, references: Sequence[Reference]) -> None:
    """Check that a request has a voice or references, not both. Raises InvalidRequest."""
    if references and voice is not None:
        raise InvalidRequest("give either `voice` or `references`, not both")


def check_phonemes(words: Pronunciations, model: str, can: Capabilities) -> None:
    """Check that the model reads phonemes if a word is spelled in them. Raises UnsupportedCapability."""
    if words.phonemes and not can.phonemes:
        raise UnsupportedCapability(
            f"model {model!r} has no phonemes: spell {words.phonemes[:40]!r} in ordinary letters",
            model=model,
            capability="phonemes",
        )
