"""tts-hub: many text-to-speech model families behind one contract."""

from hub.contract import CONTRACT, BackendSpec, Capabilities, SpeechRequest, Synthesizer

__all__ = ["CONTRACT", "BackendSpec", "Capabilities", "SpeechRequest", "Synthesizer"]
__version__ = "0.1.0"
