"""Machinery: everything that a worker loads of a release, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hub.contract.errors import InvalidRequest
from hub.nn.device import Placement
from hub.nn.precision import settle_precision
from hub.nn.weights import CheckpointError
from hub_gpt_sovits.layout import BERT, SPEAKER, Release
from hub_gpt_sovits.model.upsampling import Upsampler
from hub_gpt_sovits.model.vits import Vits
from hub_gpt_sovits.networks import ON_CPU, Acoustics, Networks, Semantics
from hub_gpt_sovits.options import GptSovitsLoadOptions
from hub_gpt_sovits.text import TextFrontend
from hub_gpt_sovits.voices import Voices

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """S1 and S2 of one request."""

    semantics: Semantics
    acoustics: Acoustics


class Machinery:
    """Networks, text front end and voices of one release. S1 and S2 are loaded on first use.

    Raises CheckpointError for a folder that is not complete.
    """

    def __init__(
        self, folder: Path, options: GptSovitsLoadOptions | None = None, placement: Placement = ON_CPU
    ) -> None:
        options = options or GptSovitsLoadOptions()
        settle_precision()  # in float32, HuBERT and the quantizer decide on the codes of a recording
        self.release = Release.at(folder, options.weights)
        self.concurrency = options.concurrency or (4 if placement.device.type == "cuda" else 2)
        bert = folder / options.bert if options.bert else None
        self.networks = Networks(
            self.release,
            placement,
            hubert=folder / options.hubert if options.hubert else None,
            bert=bert,
            most=options.loaded_weights,
            sessions=self.concurrency,
        )
        self.frontend = TextFrontend(
            folder / options.text_data if options.text_data else self.release.text,
            self.release.g2pw,
            bert or self.release.find(BERT),
            self.release.identification,
            self.release.open_jtalk,
        )
        self.voices = Voices(self.networks, self.frontend)
        self._default = self.release.pair(options.version, options.gpt, options.sovits)

    def load_default(self) -> Pair:
        """Load the default pair, and all networks that a request with it uses. Raises CheckpointError."""
        pair = self.pair()
        _ = self.networks.hubert, self.networks.bert
        if isinstance(pair.acoustics.model, Vits) and pair.acoustics.model.with_speaker:
            _ = self.networks.speaker
        if pair.acoustics.vocoder is not None:
            _ = pair.acoustics.vocoder.net
        return pair

    @property
    def voice_files(self) -> tuple[Path, ...]:
        """The weights that prepare a voice for the default pair: S2, HuBERT and the speaker network of v2Pro."""
        found = (self._default[1], self.networks.hubert_folder, self.release.find(SPEAKER))
        return tuple(path for path in found if path is not None)

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

    def upsampler(self, pair: Pair) -> Upsampler:
        """The network of `super_sampling`. Raises InvalidRequest where it is missing or of no use."""
        found = self.networks.upsampler if pair.acoustics.version == "v3" else None
        if found is None:
            raise InvalidRequest("super_sampling works with v3 weights and the family's AP-BWE model beside them")
        return found


def _for_request(load: Callable[[], T], name: str) -> T:
    """Return the result of `load`. Raises InvalidRequest if a file that the request names cannot be used."""
    if not name:
        return load()
    try:
        return load()
    except CheckpointError as error:
        raise InvalidRequest(f"the weights {name[:100]!r} cannot be used: {error.message}") from error
