"""tts-hub: many text-to-speech model families behind one contract."""

from typing import TYPE_CHECKING

from hub.contract import CONTRACT, BackendSpec, Capabilities, SpeechRequest, Synthesizer
from hub.version import __version__

if TYPE_CHECKING:
    from hub.plugin.spec import hookimpl

__all__ = ["CONTRACT", "BackendSpec", "Capabilities", "SpeechRequest", "Synthesizer", "__version__", "hookimpl"]


def __getattr__(name: str) -> object:
    """`hub.hookimpl`, imported on first use: a worker's interpreter needs no pluggy."""
    if name == "hookimpl":
        from hub.plugin.spec import hookimpl

        return hookimpl
    raise AttributeError(f"module 'hub' has no attribute {name!r}")
