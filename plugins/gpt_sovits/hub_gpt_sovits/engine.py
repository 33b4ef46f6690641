"""A worker's whole machinery, loaded: networks, text front end, voices. For the synthesizer, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from hub.contract.errors import InvalidRequest
from hub.nn.weights import CheckpointError
from hub_gpt_sovits.networks import Acoustics, Networks, Semantics
from hub_gpt_sovits.release import BERT, Release
from hub_gpt_sovits.text import TextFrontend
from hub_gpt_sovits.voicing import Voicing

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class EngineSettings:
    """What to load and where. Empty strings and None: what the folder `path` holds."""

    path: Path
    version: str = ""
    gpt: str = ""
    sovits: str = ""
    weights: tuple[str, ...] = ()
    hubert: Path | None = None
    bert: Path | None = None
    text_data: Path | None = None
    room: int = 4
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Pair:
    """S1 and S2 of one request."""

    semantics: Semantics
    acoustics: Acoustics


class Engine:
    """Raises CheckpointError for a folder that is not whole. S1 and S2 are loaded when they are first asked for."""

    def __init__(self, settings: EngineSettings) -> None:
        self.release = Release.at(settings.path, settings.weights)
        self.networks = Networks(
            self.release,
            settings.device,
            settings.dtype,
            hubert=settings.hubert,
            bert=settings.bert,
            room=settings.room,
        )
        bert = settings.bert or self.release.find(BERT)
        text = settings.text_data or self.release.text
        self.frontend = TextFrontend(
            text, self.release.g2pw, bert, self.release.identification, self.release.open_jtalk
        )
        self.voicing = Voicing(self.networks, self.frontend)
        self._default = self.release.pair(settings.version, settings.gpt, settings.sovits)

    def semantics(self, name: str = "") -> Semantics:
        """S1 weights by the name that a request gives, or the default ones. Raises InvalidRequest."""
        path = self.release.named(name) if name else self._default[0]
        if path is None:
            raise CheckpointError("this model has acoustic weights (S2) alone; it needs semantic ones (S1) to speak")
        return _for_request(lambda: self.networks.semantics(path), name)

    def acoustics(self, name: str = "") -> Acoustics:
        """S2 weights by the name that a request gives, or the default ones. Raises InvalidRequest."""
        path = self.release.named(name) if name else self._default[1]
        return _for_request(lambda: self.networks.acoustics(path), name)

    def pair(self, gpt: str = "", sovits: str = "") -> Pair:
        """Both. Raises InvalidRequest if they do not go together."""
        pair = Pair(self.semantics(gpt), self.acoustics(sovits))
        needed = pair.acoustics.model.enc_p.text_embedding.num_embeddings
        if pair.semantics.model.symbols < needed:
            raise InvalidRequest(
                f"{pair.semantics.name} reads {pair.semantics.model.symbols} phones and {pair.acoustics.name} needs "
                f"{needed}: weights of v1 go only with weights of v1"
            )
        return pair


def _for_request(load: Callable[[], _Loaded], name: str) -> _Loaded:
    """A file that a request names and that cannot be used is the request's fault, not the model's."""
    if not name:
        return load()
    try:
        return load()
    except CheckpointError as error:
        raise InvalidRequest(f"the weights {name[:100]!r} cannot be used: {error.message}") from error
