"""The loaded networks of a worker: those that all requests share, and the S1 and S2 weights that they choose from."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from hub.nn.device import Placement
from hub.nn.layout import lay_out_convolutions
from hub.nn.weights import CheckpointError
from hub_gpt_sovits.checkpoint import S1File, S2File, load_s1, load_s2, load_tensors, merge_lora
from hub_gpt_sovits.layout import BERT, BIGVGAN, HUBERT, PRETRAINED, SPEAKER, SUPER_SAMPLING, V4_VOCODER, Release
from hub_gpt_sovits.model.bigvgan import build_bigvgan
from hub_gpt_sovits.model.blank import filled
from hub_gpt_sovits.model.cfm import Cfm, build_cfm
from hub_gpt_sovits.model.hifigan import HifiGan
from hub_gpt_sovits.model.pretrained import Bert, Hubert
from hub_gpt_sovits.model.semantic import SemanticModel, build_semantic
from hub_gpt_sovits.model.speaker import SpeakerNet, build_speaker
from hub_gpt_sovits.model.upsampling import Upsampler, build_upsampler
from hub_gpt_sovits.model.vits import Vits, build_vits
from hub_gpt_sovits.session import Sessions

MUTE_TOKEN = 486
"""The semantic token of a pause."""

V4_RATES, V4_KERNELS = (10, 6, 2, 2, 2), (20, 12, 4, 4, 4)
BLOCK_KERNELS, BLOCK_DILATIONS = (3, 7, 11), ((1, 3, 5),) * 3
"""Shape of v4's vocoder; its file does not hold it."""

ON_CPU = Placement(torch.device("cpu"), torch.float32)

_numbers = itertools.count()
_Made = TypeVar("_Made")
_Net = TypeVar("_Net", bound=nn.Module)


@dataclass(frozen=True)
class Vocoder:
    """Turns natural log-mel (1, 100, T) into audio; loaded when it is first used.

    `window`, `longest_reference` and `overlap` say in frames how mel is cut for the flow before it.
    """

    load: Callable[[], nn.Module]
    sample_rate: int
    samples_per_frame: int
    longest_reference: int
    window: int
    overlap: int = 12

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.load()


@dataclass(frozen=True)
class Semantics:
    """S1, loaded, with its sessions. `mute_scores` (vocabulary,): how much each token sounds like a pause."""

    model: SemanticModel
    name: str
    sessions: Sessions
    mute_scores: Tensor


@dataclass(frozen=True)
class Acoustics:
    """S2, loaded. `digest` identifies the tensors that a prepared voice depends on; `number` is new with each load."""

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
        """Hz of its audio."""
        return self.model.sampling_rate if self.vocoder is None else self.vocoder.sample_rate


class Kept(Generic[_Made]):
    """Keeps the most recently used values by key. A dropped value stays in memory while a request uses it."""

    def __init__(self, most: int) -> None:
        self._most, self._made = most, OrderedDict[object, _Made]()
        self._lock = threading.Lock()
        self._makers: dict[object, threading.Lock] = {}

    def get(self, key: object, make: Callable[[], _Made]) -> _Made:
        """The value of `key`; `make` makes a missing one, only once even if several threads need it."""
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
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            return made


class Networks:
    """All networks of one worker. Networks that only some versions need are loaded on first use.

    `most` S1 and `most` S2 files stay loaded, and `sessions` idle sessions of each S1 and number of rows.
    """

    def __init__(
        self,
        release: Release,
        placement: Placement = ON_CPU,
        *,
        hubert: Path | None = None,
        bert: Path | None = None,
        most: int = 4,
        sessions: int = 4,
    ) -> None:
        self.release, self.device, self.dtype = release, *placement
        self._folders = {HUBERT: hubert, BERT: bert}
        self._keep = sessions
        self._shared: Kept[nn.Module] = Kept(16)
        self._semantics: Kept[Semantics] = Kept(most)
        self._acoustics: Kept[Acoustics] = Kept(most)

    @property
    def hubert(self) -> Hubert:
        """Chinese HuBERT."""
        return cast(Hubert, self._net(HUBERT, lambda: Hubert(self.hubert_folder)))

    @property
    def hubert_folder(self) -> Path:
        """The folder of HuBERT. Raises CheckpointError."""
        return self._folder(HUBERT, "HuBERT")

    @property
    def bert(self) -> Bert:
        """Chinese RoBERTa."""
        return cast(Bert, self._net(BERT, lambda: Bert(self._folder(BERT, "RoBERTa"))))

    @property
    def speaker(self) -> SpeakerNet:
        """The speaker network of v2Pro."""

        def make() -> SpeakerNet:
            path = self.release.need(SPEAKER, "the speaker network of v2Pro")
            return build_speaker(load_tensors(path), path.name)

        return cast(SpeakerNet, self._net(SPEAKER, make))

    def semantics(self, path: Path) -> Semantics:
        """S1 of a file, as it is on the disk now."""
        return self._semantics.get(_identity(path), lambda: self._load_semantics(load_s1(path)))

    def acoustics(self, path: Path) -> Acoustics:
        """S2 of a file, as it is on the disk now; a LoRA file is merged into its base."""
        return self._acoustics.get(_identity(path), lambda: self._load_acoustics(load_s2(path)))

    def _load_semantics(self, file: S1File) -> Semantics:
        model = self._moved(build_semantic(file)).lay_out()
        return Semantics(model, file.name, Sessions(model, self._keep), model.mute_scores(MUTE_TOKEN).cpu())

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
            self._moved(model),
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
            load = partial(self._net, V4_VOCODER, self._load_v4)
            return Vocoder(load, 48_000, 480, longest_reference=500, window=1000)
        config = self._bigvgan_config()
        return Vocoder(
            partial(self._net, BIGVGAN, self._load_bigvgan),
            int(config.get("sampling_rate", 24_000)),
            int(config.get("hop_size", 256)),
            longest_reference=468,
            window=934,
        )

    def _bigvgan_config(self) -> dict[str, Any]:
        """`config.json` of BigVGAN; empty while BigVGAN is missing, which its loading reports."""
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
        """AP-BWE for v3; None unless it is beside the weights."""
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

        # in float32 on every device: it makes phases
        net = self._shared.get(SUPER_SAMPLING, lambda: make().requires_grad_(False).to(self.device))
        return cast(Upsampler, net)

    def _net(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        return self._shared.get(name, lambda: self._moved(make()))

    def _folder(self, name: str, what: str) -> Path:
        return self._folders[name] or self.release.need(name, what)

    def _moved(self, net: _Net) -> _Net:
        """The network on the device, in its type."""
        moved = net.requires_grad_(False).to(self.device, self.dtype)
        for module in moved.modules():
            if isinstance(module, HifiGan):
                lay_out_convolutions(module, self.device)
        return moved


def digest(file: S2File) -> str:
    """A hash of the tensors that a prepared voice depends on."""
    found = hashlib.sha256(file.version.encode())
    for name in sorted(file.weights):
        if name.startswith(("ref_enc.", "ssl_proj.", "quantizer.", "sv_emb.", "prelu.")):
            found.update(name.encode())
            found.update(file.weights[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def _identity(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path), state.st_size, state.st_mtime_ns
