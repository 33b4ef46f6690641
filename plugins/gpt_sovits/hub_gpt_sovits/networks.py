"""The loaded networks of a worker: what all requests share, and the S1 and S2 weights that requests choose among."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hub.nn.layout import lay_out_convolutions
from hub.nn.weights import CheckpointError
from hub_gpt_sovits.checkpoint import S1File, S2File, load_s1, load_s2, load_tensors, merge_lora
from hub_gpt_sovits.model.bigvgan import build_bigvgan
from hub_gpt_sovits.model.blank import filled
from hub_gpt_sovits.model.cfm import Cfm, build_cfm
from hub_gpt_sovits.model.hifigan import HifiGan
from hub_gpt_sovits.model.lanes import LanePool
from hub_gpt_sovits.model.pretrained import Bert, Hubert
from hub_gpt_sovits.model.semantic import SemanticModel, build_semantic
from hub_gpt_sovits.model.speaker import SpeakerNet, build_speaker
from hub_gpt_sovits.model.upsampling import Upsampler, build_upsampler
from hub_gpt_sovits.model.vits import Vits, build_vits
from hub_gpt_sovits.release import BERT, BIGVGAN, HUBERT, PRETRAINED, SPEAKER, SUPER_SAMPLING, V4_VOCODER, Release

MUTE_TOKEN = 486
"""The semantic token that is a pause."""

V4_RATES, V4_KERNELS = (10, 6, 2, 2, 2), (20, 12, 4, 4, 4)
BLOCK_KERNELS, BLOCK_DILATIONS = (3, 7, 11), ((1, 3, 5),) * 3
"""Of v4's vocoder, whose file says none of it."""

_numbers = itertools.count()
_Made = TypeVar("_Made")
_Net = TypeVar("_Net", bound=nn.Module)


@dataclass(frozen=True)
class Vocoder:
    """From natural log-mel (1, 100, T) to audio, and how long mel is cut for the flow (frames). Loaded when used."""

    load: Callable[[], nn.Module]
    sample_rate: int
    samples_per_frame: int
    longest_reference: int
    chunk: int
    overlap: int = 12

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.load()


@dataclass
class Semantics:
    """S1, loaded."""

    model: SemanticModel
    name: str
    pool: LanePool = field(init=False)
    mute_scores: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.pool = LanePool(self.model)
        self.mute_scores = self.model.mute_scores(MUTE_TOKEN).cpu()


@dataclass(frozen=True)
class Acoustics:
    """S2, loaded. `digest` names what a prepared reference depends on; `number` is this loading's own."""

    model: Vits | Cfm
    name: str
    version: str
    symbols: str
    digest: str
    spectrum: tuple[int, int, int, int]
    vocoder: Vocoder | None
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def sample_rate(self) -> int:
        """Hz of what it makes."""
        return self.model.sampling_rate if self.vocoder is None else self.vocoder.sample_rate


class Kept(Generic[_Made]):
    """The most recently used of what is made by key. What a request still holds lives on until it lets go."""

    def __init__(self, room: int) -> None:
        self._room, self._made = room, OrderedDict[object, _Made]()
        self._lock = threading.Lock()
        self._makers: dict[object, threading.Lock] = {}

    def get(self, key: object, make: Callable[[], _Made]) -> _Made:
        """What is kept under `key`, or what `make` makes; made once when several ask at the same time."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            maker = self._makers.setdefault(key, threading.Lock())
        with maker:
            with self._lock:
                if key in self._made:
                    return self._made[key]
            try:
                made = make()
            finally:
                with self._lock:
                    self._makers.pop(key, None)
            with self._lock:
                self._made[key] = made
                while len(self._made) > self._room:
                    self._made.popitem(last=False)
            return made


class Networks:
    """All networks of one worker. Those that a version does without are loaded when they are first wanted."""

    def __init__(
        self,
        release: Release,
        device: torch.device,
        dtype: torch.dtype,
        *,
        hubert: Path | None = None,
        bert: Path | None = None,
        room: int = 4,
    ) -> None:
        self.release, self.device, self.dtype = release, device, dtype
        self._folders = {HUBERT: hubert, BERT: bert}
        self._shared: Kept[nn.Module] = Kept(16)
        self._semantics: Kept[Semantics] = Kept(room)
        self._acoustics: Kept[Acoustics] = Kept(room)

    @property
    def hubert(self) -> Hubert:
        """Chinese HuBERT."""
        return self._net(HUBERT, lambda: Hubert(self._folder(HUBERT, "HuBERT")))  # type: ignore[return-value]

    @property
    def bert(self) -> Bert:
        """Chinese RoBERTa."""
        return self._net(BERT, lambda: Bert(self._folder(BERT, "RoBERTa")))  # type: ignore[return-value]

    @property
    def speaker(self) -> SpeakerNet:
        """The speaker network of v2Pro."""

        def make() -> SpeakerNet:
            path = self.release.need(SPEAKER, "the speaker network of v2Pro")
            return build_speaker(load_tensors(path), path.name)

        return self._net(SPEAKER, make)  # type: ignore[return-value]

    def semantics(self, path: Path) -> Semantics:
        """S1 of a file, as it is on disk now."""
        return self._semantics.get(_identity(path), lambda: self._load_semantics(load_s1(path)))

    def acoustics(self, path: Path) -> Acoustics:
        """S2 of a file, as it is on disk now; a LoRA file is merged into its base."""
        return self._acoustics.get(_identity(path), lambda: self._load_acoustics(load_s2(path)))

    def _load_semantics(self, file: S1File) -> Semantics:
        return Semantics(self._placed(build_semantic(file)).lay_out(), file.name)

    def _load_acoustics(self, file: S2File) -> Acoustics:
        if file.rank:
            official = PRETRAINED[file.version][1]
            beside = self.release.find(Path(official).name)
            base = beside or self.release.need(official, f"the base of the LoRA {file.name}")
            file = merge_lora(load_s2(base), file)
        data = file.config["data"]
        spectrum = tuple(int(data[key]) for key in ("sampling_rate", "filter_length", "hop_length", "win_length"))
        model: Vits | Cfm = build_cfm(file) if file.version in ("v3", "v4") else build_vits(file)
        return Acoustics(
            self._placed(model),
            file.name,
            file.version,
            file.symbols,
            digest(file),
            spectrum,  # type: ignore[arg-type]
            self.vocoder(file.version) if isinstance(model, Cfm) else None,
        )

    def vocoder(self, version: str) -> Vocoder:
        """The vocoder of v3 or v4."""
        if version == "v4":
            return Vocoder(lambda: self._net(V4_VOCODER, self._load_v4), 48_000, 480, longest_reference=500, chunk=1000)
        config = self._bigvgan_config()
        return Vocoder(
            lambda: self._net(BIGVGAN, self._load_bigvgan),
            int(config.get("sampling_rate", 24_000)),
            int(config.get("hop_size", 256)),
            longest_reference=468,
            chunk=934,
        )

    def _bigvgan_config(self) -> dict[str, Any]:
        """`config.json` of BigVGAN; empty while it is not there, which its loading tells."""
        folder = self.release.find(BIGVGAN)
        try:
            found: dict[str, Any] = json.loads((folder / "config.json").read_bytes()) if folder else {}
        except (OSError, ValueError) as error:
            raise CheckpointError("config.json of BigVGAN is missing or damaged", file="config.json") from error
        return found

    def _load_bigvgan(self) -> nn.Module:
        path = self.release.need(BIGVGAN, "the vocoder of v3 (BigVGAN)") / "bigvgan_generator.pt"
        return build_bigvgan(self._bigvgan_config(), load_tensors(path), path.name)

    def _load_v4(self) -> nn.Module:
        path = self.release.need(V4_VOCODER, "the vocoder of v4")
        weights = load_tensors(path)
        width, channels = weights["conv_pre.weight"].shape[:2]

        def make() -> HifiGan:
            return HifiGan(
                channels,
                width=width,
                rates=V4_RATES,
                kernels=V4_KERNELS,
                block_kernels=BLOCK_KERNELS,
                block_dilations=BLOCK_DILATIONS,
                bias_at_end="conv_post.bias" in weights,
            )

        return filled(make, weights, path.name)

    @property
    def upsampler(self) -> Upsampler | None:
        """AP-BWE for v3, if it is beside the weights."""
        folder = self.release.find(SUPER_SAMPLING)
        path = folder / "g_24kto48k.zip" if folder is not None else None
        if path is None or not path.is_file():
            return None
        config = path.with_name("config.json")

        def make() -> Upsampler:
            try:
                return build_upsampler(json.loads(config.read_bytes()), load_tensors(path), path.name)
            except (OSError, ValueError, KeyError) as error:
                raise CheckpointError("config.json of AP-BWE is missing or damaged", file="config.json") from error

        return self._shared.get(SUPER_SAMPLING, lambda: make().requires_grad_(False).to(self.device))  # type: ignore[return-value]

    def _net(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        return self._shared.get(name, lambda: self._placed(make()))

    def _folder(self, name: str, what: str) -> Path:
        return self._folders[name] or self.release.need(name, what)

    def _placed(self, net: _Net) -> _Net:
        placed = net.requires_grad_(False).to(self.device, self.dtype)
        for module in placed.modules():
            if isinstance(module, HifiGan):
                lay_out_convolutions(module, self.device)
        return placed


def digest(file: S2File) -> str:
    """Of the tensors that a prepared reference depends on."""
    found = hashlib.sha256(file.version.encode())
    for name in sorted(file.weights):
        if name.startswith(("ref_enc.", "ssl_proj.", "quantizer.", "sv_emb.", "prelu.")):
            found.update(name.encode())
            found.update(file.weights[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def _identity(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path), state.st_size, state.st_mtime_ns
