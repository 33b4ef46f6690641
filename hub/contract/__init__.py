"""The contract between the hub, its plugins and its callers.

Needs only the standard library and msgspec, so that any interpreter can import it.
"""

from hub.contract.backend import (
    CONTRACT,
    BackendSpec,
    Capabilities,
    Checkpoint,
    Live,
    Mixer,
    ModelConfig,
    Stop,
    Synthesizer,
)
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
from hub.contract.voice import Recording, StoredVoice, Voice, VoiceDraft

__all__ = [
    "CONTRACT",
    "AudioChunk",
    "AudioFormat",
    "BackendSpec",
    "Capabilities",
    "CastVoice",
    "Checkpoint",
    "Done",
    "Fault",
    "Live",
    "Mark",
    "Mixer",
    "ModelConfig",
    "Observer",
    "Recording",
    "Reference",
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
    "Turn",
    "Voice",
    "VoiceDraft",
    "VoicePart",
]
