"""`/srt`: a speech and its subtitles, one cue for each segment, as files to download by links."""

from __future__ import annotations

import asyncio
import io
import secrets
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any, Literal

from litestar import Request, Response, get, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Struct

from hub.api.http.departure import until_departure
from hub.api.http.fields import as_struct
from hub.api.http.request_id import HEADER, request_id
from hub.api.respond import open_speech, pack, speech_headers
from hub.audio.subtitles import Cue, to_srt
from hub.contract.errors import NotFound
from hub.contract.event import Mark
from hub.contract.speech import AudioFormat
from hub_gpt_sovits.routes.answers import answer, error_response
from hub_gpt_sovits.routes.requests import Spoken, speech_request
from hub_gpt_sovits.routes.speech import fields_of
from hub_gpt_sovits.routes.state import State

BATCH = 10
"""Segments that are spoken together unless the request says otherwise, as in the fork that has this route."""

KEPT = 64
"""The number of results that are kept; the oldest are dropped first."""

TYPES = {"tts-out.srt": "application/x-subrip; charset=utf-8", "audio.wav": "audio/wav"}


class Download(Struct, kw_only=True):
    """The parameter that `/srt` has besides those of `/tts`."""

    download: Literal["srt", "wav", "zip"] | None = None


class Results:
    """The last results, each in a folder of its own below the hub's data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()  # so that two requests do not drop the same results

    def keep(self, files: dict[str, bytes]) -> str:
        """Store `files`, and drop the oldest results. Returns the key for the links."""
        key = secrets.token_hex(12)
        folder = self.folder / key
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        with self._lock:
            results = sorted(self.folder.iterdir(), key=lambda old: old.stat().st_mtime_ns)
            for old in results[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return key

    def read(self, key: str, name: str) -> bytes:
        """A file of a result. Raises NotFound."""
        file = self.folder / key / name
        if not key.isalnum() or name not in TYPES or not file.is_file():
            raise NotFound(f"this result does not exist, or no longer exists: the hub keeps the last {KEPT}")
        return file.read_bytes()


def routes(state: State) -> list[HTTPRouteHandler]:
    """The handlers."""
    results = Results(state.hub.data_folder / "compat" / "gpt_sovits" / "srt")

    @route("/srt", http_method=["GET", "POST"], status_code=200, summary="Speak, with subtitles")
    async def srt(request: Request[Any, Any, Any]) -> Response[Any]:
        """The parameters of /tts. Returns `{"code", "srt", "audio"}` with links to both files, at the address that the
        request used; `?download=srt`, `wav` or `zip` returns the files themselves.
        """
        try:
            fields = await fields_of(request)
            wanted_file = as_struct(fields, Download).download
            audio, subtitles, headers = await _subtitled(
                state, request, as_struct({"batch_size": BATCH, **fields}, Spoken)
            )
        except Exception as error:
            return error_response(request, error)
        files = {"tts-out.srt": subtitles.encode(), "audio.wav": audio}
        if wanted_file is not None:
            return _file(wanted_file, files, headers)
        key = await asyncio.to_thread(results.keep, files)
        base = public_url(request)
        links = {"srt": f"{base}/{key}/tts-out.srt", "audio": f"{base}/{key}/audio.wav"}
        return answer(request, {"code": "200", **links}, headers=headers)

    @get("/srt/{key:str}/{name:str}", summary="Get a file of a speech with subtitles")
    async def srt_file(key: FromPath[str], name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        """Returns the file of a link that /srt returned."""
        content = await asyncio.to_thread(results.read, key, name)
        return Response(content, media_type=TYPES[name], headers={HEADER: request_id(request.scope)})

    return [srt, srt_file]


async def _subtitled(state: State, request: Request[Any, Any, Any], asked: Spoken) -> tuple[bytes, str, dict[str, str]]:
    """The audio as WAV, the subtitles, and the headers that describe the speech."""
    wanted = await speech_request(state, asked)
    wanted.format, wanted.stream = AudioFormat(), False
    wanted.options["streaming_mode"] = 1  # segment by segment: each with its own time
    speech = await open_speech(state.hub, request, wanted)
    packed = await pack(state.hub, speech, wanted.format, whole=True)
    audio: list[bytes] = []
    cues: list[Cue] = []
    try:
        async with until_departure(request.receive):
            async for event in packed.events():
                if isinstance(event, bytes):
                    audio.append(event)
                elif isinstance(event, Mark) and event.kind == "segment":
                    cues.append(Cue(event.start, event.end, (event.text,)))
    finally:
        await packed.aclose()
    return b"".join(audio), to_srt(cues), speech_headers(packed)


def _file(wanted: str, files: dict[str, bytes], headers: dict[str, str]) -> Response[bytes]:
    if wanted == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return _attached(out.getvalue(), "application/zip", "tts-out.zip", headers)
    name = "tts-out.srt" if wanted == "srt" else "audio.wav"
    return _attached(files[name], TYPES[name], name, headers)


def _attached(content: bytes, media_type: str, name: str, headers: dict[str, str]) -> Response[bytes]:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers={**headers, **disposition})


def public_url(request: Request[Any, Any, Any]) -> str:
    """The request's own URL as its caller sees it: behind a proxy that says so, the proxy's.

    X-Forwarded-Proto, -Host and -Prefix are only echoed to the caller who sent them, so they need not be trusted.
    """
    forwarded = request.headers.get
    scheme = forwarded("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
    host = forwarded("x-forwarded-host", request.headers.get("host", request.url.netloc)).split(",")[0].strip()
    prefix = forwarded("x-forwarded-prefix", "").rstrip("/")
    return f"{'https' if scheme == 'https' else 'http'}://{host}{prefix}{request.url.path.rstrip('/')}"
