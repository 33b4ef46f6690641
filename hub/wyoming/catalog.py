"""Names the hub's voices for Wyoming, and finds them by those names."""

from __future__ import annotations

from collections.abc import Sequence

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.tts import SynthesizeVoice

from hub.contract.errors import UnknownVoice
from hub.version import __version__
from hub.wyoming.speaker import SpeakerVoice

ANY_LANGUAGE = "ar de en es fr hi it ja ko nl pl pt ru tr uk zh".split()  # noqa: SIM905 - easier to read
"""Languages listed for a voice that speaks any: Home Assistant shows only voices that list its own language."""

_OURS = Attribution(name="tts-hub", url="")


def wyoming_name(voice: SpeakerVoice, voices: Sequence[SpeakerVoice]) -> str:
    """Return the voice's name for clients: its id, prefixed by the model's name if an earlier model has the same id."""
    if not voice.voice:
        return voice.model
    first = next(other for other in voices if other.voice == voice.voice)
    return voice.voice if first is voice else f"{voice.model}/{voice.voice}"


def describe(voices: Sequence[SpeakerVoice]) -> Info:
    """Return the reply to `describe`: one program with all voices. Each voice has one speaker: its id in its model."""
    return Info(
        tts=[
            TtsProgram(
                name="tts-hub",
                attribution=_OURS,
                installed=True,
                description="Many text-to-speech models in one hub",
                version=__version__,
                voices=[_voice(voice, voices) for voice in voices],
                supports_synthesize_streaming=True,
            )
        ]
    )


def _voice(voice: SpeakerVoice, voices: Sequence[SpeakerVoice]) -> TtsVoice:
    name = wyoming_name(voice, voices)
    return TtsVoice(
        name=name,
        attribution=_OURS,
        installed=True,
        description=f"{voice.title or voice.voice or voice.model} ({voice.model})",
        version=None,
        languages=list(voice.languages) or ANY_LANGUAGE,
        speakers=[TtsVoiceSpeaker(name=voice.voice)] if voice.voice else None,
    )


def find_voice(asked: SynthesizeVoice | None, voices: Sequence[SpeakerVoice]) -> SpeakerVoice:
    """Return the voice that a client asks for: by name, by a model's name and a speaker, by language, or the default.

    Raises UnknownVoice, with the voices there are; it never falls back to another voice.
    """
    name, speaker = (asked.name, asked.speaker) if asked is not None else (None, None)
    language = asked.language if asked is not None and not name else None
    usual = [voice for voice in voices if voice.default] or list(voices)
    if name:
        named = [voice for voice in voices if wyoming_name(voice, voices) == name and speaker in (None, voice.voice)]
        of_model = [voice for voice in voices if voice.model == name and speaker in (None, voice.voice)]
        chosen = named or [voice for voice in of_model if voice.default] or of_model
    elif language:
        chosen = [voice for voice in (*usual, *voices) if _speaks(voice, language)]
    else:
        chosen = usual
    if not chosen:
        wanted = f"{name}, speaker {speaker}" if speaker else name or f"for the language {language}"
        known = ", ".join(wyoming_name(voice, voices) for voice in voices)
        raise UnknownVoice(f"there is no voice {wanted[:100]!r}; there are: {known or 'none'}")
    return chosen[0]


def _speaks(voice: SpeakerVoice, language: str) -> bool:
    """Return True if the primary subtags match: a voice of en speaks en_GB."""
    wanted = language.replace("_", "-").lower().split("-")[0]
    return not voice.languages or wanted in {tag.lower().split("-")[0] for tag in voice.languages}
