"""Desk: the parts of a hub that speaking needs, in one value that does not change while the hub runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hub.audio.encode import EncoderSpec
from hub.contract.observer import SpeechReport
from hub.plugin.filters import TextFilter
from hub.service.library.dictionaries import DictionaryStore
from hub.service.library.preparing import Preparing
from hub.service.library.scenes import SceneStore
from hub.service.library.voices import VoiceLibrary
from hub.service.models.ledger import Ledger
from hub.service.models.models import Models
from hub.settings import LimitSettings, WorkerSettings


@dataclass(frozen=True)
class Desk:
    """The parts of a hub that speaking needs; `report` is called after each request."""

    models: Models
    voices: VoiceLibrary
    preparing: Preparing
    scenes: SceneStore
    dictionaries: DictionaryStore
    text_filters: Sequence[TextFilter]
    encoders: Mapping[str, EncoderSpec]
    limits: LimitSettings
    worker: WorkerSettings
    report: Callable[[SpeechReport], None]

    def ledger(self, request_id: str, *, chars: int = 0) -> Ledger:
        """Return the ledger of a request that has just arrived."""
        return Ledger(self.report, chars, request_id)
