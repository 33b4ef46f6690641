"""The contract between the hub, its plugins and its callers.

Needs only the standard library and msgspec, so that any interpreter can import it.
"""

from hub.contract.backend import (
    CONTRACT,
    BackendSpec,
    Capabilities,
    Checkpoint,
    Codec,
    Converter,
    Live,
    Memory,
    Mixer,
    ModelConfig,
    Stop,
    Synthesizer,
)
from hub.contract.conversion import ConversionRequest, ResolvedConversion
from hub.contract.event import AudioChunk, Done, Fault, Mark, Span, SpeechEvent
from hub.contract.observer import Observer, SpeechReport
from hub.contract.scene import Scene
from hub.contract.speech import (
    AudioFormat,
    CastVoice,
    Reference,
    ResolvedRequest,
    Sampling,
    SpeechRequest,
    Turn,
    VoicePart,
)
from hub.contract.task import Task, TaskProgress, TaskState
from hub.contract.tokens import Tokens
from hub.contract.voice import Recording, StoredVoice, Voice, VoiceDraft

__all__ = [
    "CONTRACT",
    "AudioChunk",
    "AudioFormat",
    "BackendSpec",
    "Capabilities",
    "CastVoice",
    "Checkpoint",
    "Codec",
    "ConversionRequest",
    "Converter",
    "Done",
    "Fault",
    "Live",
    "Mark",
    "Memory",
    "Mixer",
    "ModelConfig",
    "Observer",
    "Recording",
    "Reference",
    "ResolvedConversion",
    "ResolvedRequest",
    "Sampling",
    "Scene",
    "Span",
    "SpeechEvent",
    "SpeechReport",
    "SpeechRequest",
    "Stop",
    "StoredVoice",
    "Synthesizer",
    "Task",
    "TaskProgress",
    "TaskState",
    "Tokens",
    "Turn",
    "Voice",
    "VoiceDraft",
    "VoicePart",
]
