"""State that the API's own routes set for the requests after them: the default recording and the weights."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from hub.api.family import model_of
from hub.plugin.host import Host, HostModel
from hub_gpt_sovits.capabilities import BACKEND
from hub_gpt_sovits.options import CompatOptions
from hub_gpt_sovits.routes.answers import Refused
from hub_gpt_sovits.routes.kinds import check_kind
from hub_gpt_sovits.routes.recordings import Recordings

WEIGHTS = (".ckpt", ".pth")


class Prompt(Struct, frozen=True):
    """A recording by its name, its transcript and its language; "" where not given."""

    path: str = ""
    text: str = ""
    language: str = ""


class State:
    """Shared by all requests. A request reads the state when it arrives; later changes do not affect it."""

    def __init__(self, hub: Host, options: CompatOptions) -> None:
        self.hub = hub
        self.options = options
        self.recordings = Recordings(hub, options)
        self.prompt = Prompt(options.refer_wav_path, options.prompt_text, options.prompt_language)
        self.gpt = ""
        self.sovits = ""

    def model(self) -> HostModel:
        """The model that answers. Raises BackendUnavailable, UnknownModel."""
        return model_of(self.hub, BACKEND, self.options.model)

    def version(self) -> str:
        """The version that the model's settings name; "" if its folder decides."""
        return str(self.model().settings.options.get("version", ""))

    def weights(self, path: str, what: str) -> str:
        """The name by which the model finds the `what` weights, "gpt" or "sovits", at `path`: a file in its folder.

        Raises Refused if there is no such file, or if it holds something else.
        """
        base = Path(self.model().settings.path).expanduser()
        named = Path(path.replace("\\", "/"))
        try:
            base = base.resolve(strict=True)
            file = _found(base, named)
        except (OSError, ValueError):
            file = None
        if file is None:
            raise Refused(f"the model's folder has no {what} weights {named.name[:200]!r}")
        check_kind(file, what)
        return str(file.relative_to(base))


def _found(base: Path, named: Path) -> Path | None:
    """The weights file below `base` that `named` means, by its path or by its name, in any case of letters."""
    file = (base / named).resolve()
    if file.is_relative_to(base) and file.suffix in WEIGHTS and file.is_file():
        return file
    if ".." in named.parts:
        return None
    files = sorted(one for one in base.rglob("*") if one.suffix in WEIGHTS and one.is_file())
    alike = [one for one in files if one.name.casefold() == named.name.casefold()]
    if named.is_absolute():
        alike = [one for one in alike if one.as_posix().casefold() == named.as_posix().casefold()]
    alike.sort(key=lambda one: (one.name != named.name, not _ends_like(one, named)))
    return alike[0] if alike else None


def _ends_like(file: Path, named: Path) -> bool:
    """True if `named` is the end of the path `file`, in any case of letters: one client lower-cases all it sends."""
    return f"/{file.as_posix()}".casefold().endswith(f"/{named.as_posix()}".casefold())
