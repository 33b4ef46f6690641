"""A client of CosyVoice's HTTP API: it receives bare samples and writes a WAV file of the right rate."""

from __future__ import annotations

import wave
from pathlib import Path

import click
import httpx

GUESSED_RATE = 22_050
"""Hz, for servers that do not name their rate: CosyVoice's own, whose client uses this rate for every model."""

TIMEOUT = httpx.Timeout(10.0, read=600.0)


def fetch(url: str, fields: dict[str, str], recording: bytes | None, target: Path) -> tuple[float, int]:
    """Speak `fields`, like `recording`, and write `target` as the audio arrives -> its seconds and its rate in Hz.

    Raises click.ClickException with the server's words if it answers with an error, or cannot be reached.
    """
    files = {"prompt_wav": ("prompt_wav", recording, "application/octet-stream")} if recording is not None else None
    try:
        with (
            httpx.Client(timeout=TIMEOUT, trust_env=False) as client,
            client.stream("POST", url, params={"container": "pcm"}, data=fields, files=files) as answer,
        ):
            if answer.status_code != 200:
                raise click.ClickException(_problem(answer))
            rate = int(answer.headers.get("X-Sample-Rate", 0))
            if not rate:
                click.echo(f"the server does not name its sample rate; {GUESSED_RATE} Hz is a guess", err=True)
            return _write(answer, rate or GUESSED_RATE, target), rate or GUESSED_RATE
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{url}: {error or type(error).__name__}") from error
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error


def _write(answer: httpx.Response, rate: int, target: Path) -> float:
    count = 0
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        rest = b""
        for part in answer.iter_bytes():
            part = rest + part
            even = len(part) // 2 * 2
            file.writeframesraw(part[:even])
            rest, count = part[even:], count + even // 2
    return count / rate


def _problem(answer: httpx.Response) -> str:
    """The message of an error answer: FastAPI's list of fields, or one sentence."""
    answer.read()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code}"
    if isinstance(detail, list):
        detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in detail)
    return f"{answer.status_code}: {detail}"
