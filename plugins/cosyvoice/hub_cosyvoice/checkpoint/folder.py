"""The folder of a checkpoint: on this machine, or fetched."""

from __future__ import annotations

from pathlib import Path

from hub.contract.errors import WorkerStartFailed
from hub_cosyvoice.releases import release_named


def find_folder(path: str) -> Path:
    """The folder at `path`, or the local copy of the repository of that id. Raises WorkerStartFailed."""
    if not path:
        raise WorkerStartFailed("the model has no path: set it to the folder of a checkpoint (`ttshub pull cosyvoice`)")
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    release = release_named(path)
    if release is None:
        raise WorkerStartFailed(
            "the model's path is neither a folder nor a release of CosyVoice; see `ttshub pull cosyvoice`"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(release.huggingface, allow_patterns=list(release.files)))
    except Exception as error:  # no network, no such revision, a gated repository: all are different types
        raise WorkerStartFailed(
            f"{release.huggingface} could not be fetched ({type(error).__name__}); `ttshub pull cosyvoice` has mirrors"
        ) from error
