"""The files of a release folder: the layout of RVC-Boss/GPT-SoVITS, whole or only its `pretrained_models`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.contract.errors import InvalidRequest
from hub.nn.weights import CheckpointError
from hub_gpt_sovits.checkpoint import Version
from hub_gpt_sovits.text.ja import DICTIONARY

S1_V1 = "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt"
S1_V2 = "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt"
S1_V3 = "s1v3.ckpt"

PRETRAINED: dict[Version, tuple[str, str]] = {
    "v2ProPlus": (S1_V3, "v2Pro/s2Gv2ProPlus.pth"),
    "v2Pro": (S1_V3, "v2Pro/s2Gv2Pro.pth"),
    "v4": (S1_V3, "gsv-v4-pretrained/s2Gv4.pth"),
    "v3": (S1_V3, "s2Gv3.pth"),
    "v2": (S1_V2, "gsv-v2final-pretrained/s2G2333k.pth"),
    "v1": (S1_V1, "s2G488k.pth"),
}
"""S1 and S2 of each version, the best version first."""

HUBERT = "chinese-hubert-base"
BERT = "chinese-roberta-wwm-ext-large"
SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"
BIGVGAN = "models--nvidia--bigvgan_v2_24khz_100band_256x"
V4_VOCODER = "gsv-v4-pretrained/vocoder.pth"
IDENTIFICATION = "fast_langdetect/lid.176.bin"
SUPER_SAMPLING = "AP_BWE_main/24kto48k"

SUFFIXES = ("", "_v2", "_v3", "_v4", "_v2Pro", "_v2ProPlus")
USER_FOLDERS = tuple(f"{kind}{suffix}" for kind in ("GPT_weights", "SoVITS_weights") for suffix in SUFFIXES)


@dataclass(frozen=True)
class Release:
    """A folder with weights. Relative names are looked up below it, then in the folders of the official layout."""

    root: Path
    weights: tuple[Path, ...] = ()

    @classmethod
    def at(cls, path: Path, weights: Sequence[str] = ()) -> Release:
        """The release in the folder `path`; `weights` are further folders, by default the official ones that exist.

        Raises CheckpointError if `path` is not a folder.
        """
        if not path.is_dir():
            raise CheckpointError("the model's path is not a folder; set it to the folder of a GPT-SoVITS release")
        wanted = [path / one for one in weights or USER_FOLDERS]
        return cls(path, tuple(folder for folder in wanted if folder.is_dir()))

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that may hold pretrained files."""
        inner, pulled = self.root / "GPT_SoVITS", self.root / "GPT-SoVITS" / "GPT_SoVITS"
        return (
            self.root,
            self.root / "pretrained_models",
            inner / "pretrained_models",
            inner,
            self.root / "tools",
            pulled,
        )

    def find(self, name: str) -> Path | None:
        """A file or folder of the official layout, if it exists."""
        return next((folder / name for folder in self.folders if (folder / name).exists()), None)

    def need(self, name: str, what: str) -> Path:
        """The same; raises CheckpointError, which names what is missing."""
        found = self.find(name)
        if found is None:
            raise CheckpointError(
                f"{what} is missing: {name} is not in the model's folder (`ttshub pull gpt_sovits` fetches it)",
                file=name,
            )
        return found

    @property
    def g2pw(self) -> Path | None:
        """G2PWModel, which reads characters of several readings."""
        return self.find("G2PWModel") or self.find("text/G2PWModel")

    @property
    def open_jtalk(self) -> Path | None:
        """Open JTalk's dictionary, which reads Japanese."""
        return self.find(DICTIONARY)

    @property
    def identification(self) -> Path | None:
        """fastText's full model, which tells languages apart."""
        return self.find(IDENTIFICATION)

    @property
    def text(self) -> Path | None:
        """The official pronunciation tables."""
        found = self.find("text")
        return found if found is not None and (found / "opencpop-strict.txt").exists() else None

    def pair(self, version: str, gpt: str, sovits: str) -> tuple[Path | None, Path]:
        """The default S1 and S2: those named, else those of `version`, else those of the best complete version.

        S1 may be missing where S2 is named alone: such a model cannot speak, but its parts can be used. Raises
        CheckpointError.
        """
        if sovits and (gpt or not version):
            return self._configured(gpt) if gpt else None, self._configured(sovits)
        for name, (s1, s2) in PRETRAINED.items():
            if version not in ("", name):
                continue
            found = (
                self._configured(gpt) if gpt else self.find(s1),
                self._configured(sovits) if sovits else self.find(s2),
            )
            if found[0] is not None and found[1] is not None:
                return found[0], found[1]
            if version == name:
                missing = s1 if found[0] is None else s2
                raise CheckpointError(f"{version} is not complete: {missing} is missing", file=missing)
        raise CheckpointError("the model's folder has no complete version of GPT-SoVITS: it needs S1 and S2 weights")

    def named(self, name: str) -> Path:
        """Weights that a request names: a file below a weights folder, or one of the official layout by its bare name.

        Raises InvalidRequest for a name that leads out of these folders, or that is not there.
        """
        inside = Path(name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in name or "\0" in name:
            raise InvalidRequest("name weights by their file name, as the model lists them, not by a path")
        for folder in (*self.weights, self.root, *self.folders):
            found = folder / inside
            if found.is_file() and found.suffix in (".ckpt", ".pth"):
                return found
        flat = next((path for path in self.listed() if path.name == name), None)
        if flat is None:
            raise InvalidRequest(
                f"there are no weights {name[:100]!r} here", known=[path.name for path in self.listed()]
            )
        return flat

    def listed(self) -> list[Path]:
        """All weights that requests may name."""
        known = [found for pair in PRETRAINED.values() for name in pair if (found := self.find(name)) is not None]
        own = [path for folder in self.weights for path in sorted(folder.iterdir())]
        return list(dict.fromkeys([*known, *(path for path in own if path.suffix in (".ckpt", ".pth"))]))

    def _configured(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise CheckpointError(f"the weights {Path(name).name} are missing", file=Path(name).name)
        return path
