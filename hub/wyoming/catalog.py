"""The hub's voices under Wyoming's names, and back."""

from __future__ import annotations

from collections.abc import Sequence

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.tts import SynthesizeVoice

from hub.contract.errors import UnknownVoice
from hub.version import __version__
from hub.wyoming.speaker import SpeakerVoice

ANY_LANGUAGE = "ar de en es fr hi it ja ko nl pl pt ru tr uk zh".split()  # noqa: SIM905 - words, for the eye
"""What is listed for a voice that speaks any language: Home Assistant shows no voice without a language of its own."""

_OURS = Attribution(name="tts-hub", url="")


def wyoming_name(voice: SpeakerVoice, voices: Sequence[SpeakerVoice]) -> str:
    """What clients call the voice: its id, after the model's name if another model has one of that id."""
    if not voice.voice:
        return voice.model
    first = next(other for other in voices if other.voice == voice.voice)
    return voice.voice if first is voice else f"{voice.model}/{voice.voice}"


def describe(voices: Sequence[SpeakerVoice]) -> Info:
    """The answer to `describe`: one program with all voices. A voice's one speaker is itself, in its model."""
    return Info(
        tts=[
            TtsProgram(
                name="tts-hub",
                attribution=_OURS,
                installed=True,
                description="Many text-to-speech models behind one door",
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
    """The voice that a client asks for: by its name, by a model's name and a speaker, by a language, or the default.

    Raises UnknownVoice, naming those there are; another voice than the one asked for is never chosen.
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
    """Whether the primary subtags meet: en_GB is spoken by a voice of en."""
    wanted = language.replace("_", "-").lower().split("-")[0]
    return not voice.languages or wanted in {tag.lower().split("-")[0] for tag in voice.languages}
