"""The repositories that publish checkpoints: Hugging Face through its own client, ModelScope and GitHub over HTTP.

Each function returns the same: the revision (at Hugging Face, the exact commit), and its files with sizes, checksums
and URLs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast
from urllib.parse import quote, urlencode

import httpx
from msgspec import Struct

from hub.service.checkpoints.transfer import PullFailed, RemoteFile, refuse

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

IGNORED = (".gitattributes", ".gitignore")


class Listing(Struct, kw_only=True, frozen=True):
    """The files of a repository at a revision, and the headers for fetching them."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]
    headers: dict[str, str] = {}


class Site(NamedTuple):
    """A publisher with an HTTP API. The environment variable `variable` may name another server."""

    name: str
    default: str
    variable: str

    @property
    def endpoint(self) -> str:
        """The server's URL, without a slash at the end."""
        return os.environ.get(self.variable, self.default).rstrip("/")

    def ask(
        self, client: httpx.Client, url: str, headers: dict[str, str], repository: str, revision: str
    ) -> httpx.Response:
        """Return its answer about a repository. Raises PullFailed if it does not answer or has no such repository."""
        try:
            answer = client.get(url, headers=headers)
        except httpx.HTTPError as error:
            raise _unreachable(self.name, error, f"{self.variable} names another server") from None
        if answer.status_code == 404:
            _no_repository(repository, self.name, revision)
        return answer

    def files(self, answer: httpx.Response, repository: str, *keys: str) -> list[dict[str, Any]]:
        """The list of files under `keys` of an answer. Raises PullFailed if there is none."""
        try:
            found = answer.raise_for_status().json()
            for key in keys:
                found = found[key]
        except (httpx.HTTPStatusError, ValueError, TypeError, KeyError):
            raise PullFailed(
                "source_failed", f"{repository}: {self.name} answered {answer.status_code} without a list of files"
            ) from None
        return cast(list[dict[str, Any]], found)


MODELSCOPE = Site("ModelScope", "https://www.modelscope.cn", "MODELSCOPE_ENDPOINT")
GITHUB = Site("GitHub", "https://api.github.com", "GITHUB_API_URL")


def huggingface(repository: str, revision: str = "") -> Listing:
    """List a repository of the Hugging Face hub, or of the mirror that `HF_ENDPOINT` names, with the user's token.

    Raises PullFailed.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    info = _huggingface_info(repository, revision, endpoint)
    commit = info.sha or revision or "main"
    files = [
        RemoteFile(
            path=one.rfilename,
            size=one.size or 0,
            url=hf_hub_url(repository, one.rfilename, revision=commit, endpoint=endpoint),
            sha256=one.lfs.sha256 if one.lfs is not None else "",
            blob=(one.blob_id or "") if one.lfs is None else "",
        )
        for one in info.siblings or ()
        if one.rfilename not in IGNORED
    ]
    headers: dict[str, str] = build_hf_headers(library_name="tts-hub")
    return Listing(repository=repository, revision=commit, files=tuple(files), headers=headers)


def _huggingface_info(repository: str, revision: str, endpoint: str | None) -> ModelInfo:
    """Ask Hugging Face about a repository. Raises PullFailed for every error of its client."""
    from huggingface_hub import HfApi, errors

    try:
        return HfApi(endpoint).model_info(repository, revision=revision or None, files_metadata=True, timeout=30)
    except errors.GatedRepoError:
        refuse(403, repository)
    except errors.RevisionNotFoundError:
        _no_revision(repository, revision)
    except errors.RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            _no_repository(repository, "Hugging Face")
        raise PullFailed(
            "access_denied",
            f"{repository}: there is no such repository, or it is private",
            "give a token that may read it: HF_TOKEN, or `hf auth login`",
        ) from None
    except errors.OfflineModeIsEnabled:
        raise PullFailed("offline", f"{repository}: HF_HUB_OFFLINE is set, which forbids use of the network") from None
    except errors.HfHubHTTPError as error:
        raise PullFailed(
            "source_failed", f"{repository}: Hugging Face answered {error.response.status_code}", "try again later"
        ) from None
    except errors.HFValidationError as error:
        raise PullFailed("not_found", f"invalid repository id {repository!r}: {error}") from None
    except _transport_errors() as error:
        raise _unreachable("Hugging Face", error, "HF_ENDPOINT names a mirror") from None


def modelscope(client: httpx.Client, repository: str, revision: str = "") -> Listing:
    """List a repository of ModelScope (`MODELSCOPE_ENDPOINT` names another server). Raises PullFailed."""
    token = os.environ.get("MODELSCOPE_API_TOKEN", "")
    # ModelScope's newer routes read the header, the older ones the cookie. httpx sends neither after a redirect.
    headers = {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}
    base = f"{MODELSCOPE.endpoint}/api/v1/models/{quote(repository)}/repo"
    revision = revision or "master"
    query = urlencode({"Revision": revision, "Recursive": "true"})
    answer = MODELSCOPE.ask(client, f"{base}/files?{query}", headers, repository, revision)
    if answer.status_code in (401, 403):
        refuse(answer.status_code, repository)
    entries = MODELSCOPE.files(answer, repository, "Data", "Files")
    files = [
        RemoteFile(
            path=one["Path"],
            size=int(one.get("Size") or 0),
            url=f"{base}?{urlencode({'Revision': revision, 'FilePath': one['Path']})}",
            sha256=one.get("Sha256") or "",
        )
        for one in entries
        if one.get("Type") != "tree" and one["Path"] not in IGNORED
    ]
    return Listing(repository=repository, revision=revision, files=tuple(files), headers=headers)


def github(client: httpx.Client, repository: str, revision: str = "") -> Listing:
    """List a repository of GitHub (`GITHUB_API_URL` names another server), with the `GITHUB_TOKEN` if there is one.

    Raises PullFailed.
    """
    token = os.environ.get("GITHUB_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = f"{GITHUB.endpoint}/repos/{quote(repository)}"
    revision = revision or "HEAD"
    answer = GITHUB.ask(client, f"{base}/git/trees/{quote(revision)}?recursive=1", headers, repository, revision)
    if answer.status_code in (403, 429):
        raise PullFailed(
            "source_failed",
            f"{repository}: GitHub refuses further requests for now",
            "try again in an hour, or set GITHUB_TOKEN",
        )
    tree = GITHUB.files(answer, repository, "tree")
    files = [
        RemoteFile(
            path=one["path"],
            size=int(one.get("size") or 0),
            url=f"{base}/contents/{quote(one['path'])}?{urlencode({'ref': revision})}",
            blob=one.get("sha") or "",
        )
        for one in tree
        if one.get("type") == "blob"
    ]
    headers["Accept"] = "application/vnd.github.raw"
    return Listing(repository=repository, revision=revision, files=tuple(files), headers=headers)


def _transport_errors() -> tuple[type[Exception], ...]:
    """The connection errors of huggingface_hub: those of its HTTP client, which differs between major versions."""
    clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (OSError, *(client.HTTPError for client in clients))


def _no_repository(repository: str, source: str, revision: str = "") -> NoReturn:
    at = f" with revision {revision!r}" if revision else ""
    raise PullFailed(
        "not_found", f"there is no repository {repository!r}{at} at {source}", "check --source, --revision"
    )


def _no_revision(repository: str, revision: str) -> NoReturn:
    raise PullFailed("not_found", f"{repository} has no revision {revision!r}", "check --revision")


def _unreachable(source: str, error: Exception, hint: str) -> PullFailed:
    return PullFailed(
        "source_unreachable",
        f"{source} cannot be reached: {str(error) or type(error).__name__}",
        f"--source chooses another source, --offline uses what is there, {hint}",
    )
