"""The contract between the hub, its plugins and its callers.

Needs only the standard library and msgspec, so that any interpreter can import it.
"""

from hub.contract.backend import CONTRACT, BackendSpec, Capabilities, ModelConfig, Stop, Synthesizer
from hub.contract.event import AudioChunk, Done, Fault, Mark, Span, SpeechEvent
from hub.contract.observer import Observer, SpeechReport
from hub.contract.speech import AudioFormat, Reference, Sampling, SpeechRequest, Turn
from hub.contract.voice import Voice, VoiceDraft

__all__ = [
    "CONTRACT",
    "AudioChunk",
    "AudioFormat",
    "BackendSpec",
    "Capabilities",
    "Done",
    "Fault",
    "Mark",
    "ModelConfig",
    "Observer",
    "Reference",
    "Sampling",
    "Span",
    "SpeechEvent",
    "SpeechReport",
    "SpeechRequest",
    "Stop",
    "Synthesizer",
    "Turn",
    "Voice",
    "VoiceDraft",
]
