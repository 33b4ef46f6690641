"""The text of a request, as spans and marks count it."""

from __future__ import annotations

from hub.contract.speech import SpeechRequest
from hub.text.speakable import clean


def spoken_text(request: SpeechRequest) -> str:
    """Return the cleaned text, or the cleaned texts of the turns, one to a line."""
    texts = [turn.text for turn in request.turns] if request.turns else [request.text or ""]
    return "\n".join(map(clean, texts))
