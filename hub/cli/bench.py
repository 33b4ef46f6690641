"""`ttshub bench`: measure how fast a model speaks, here or at a running hub."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import click

from hub.cli.report import echo_json, echo_table
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.answer import Source
    from hub.contract.speech import SpeechRequest

TEXT = "The hub puts many voices behind one door, and each of them answers in its own time."


@click.command()
@click.option("-m", "--model", help="Model name [default: the hub's default model]")
@click.option("-v", "--voice", help="Voice id [default: the model's default voice]")
@click.option("-n", "--requests", type=click.IntRange(1), default=10, show_default=True, help="Number of requests")
@click.option(
    "-c", "--concurrency", type=click.IntRange(1), default=1, show_default=True, help="Number of requests at once"
)
@click.option("--text", default=TEXT, help="Text to speak [default: one sentence]")
@url_options
@json_option
@session_options
@click.pass_obj
def bench(
    session: Session,
    model: str | None,
    voice: str | None,
    requests: int,
    concurrency: int,
    text: str,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Measure how fast a model speaks.

    Prints time to first audio, real-time factor and throughput. Time to first
    audio includes the wait in the model's queue.
    """
    from hub.cli.failure import BACKEND
    from hub.contract.speech import AudioFormat, SpeechRequest

    request = SpeechRequest(text=text, model=model, voice=voice, format=AudioFormat(container="pcm"))
    result = session.run(_bench(session, request, requests, concurrency, url, api_key))
    if as_json:
        echo_json(result)
    else:
        echo_table(
            ("measure", "value"), [(name, "-" if value is None else str(value)) for name, value in result.items()]
        )
    if result["failed"]:
        click.get_current_context().exit(BACKEND)


async def _bench(
    session: Session, request: SpeechRequest, requests: int, concurrency: int, url: str | None, api_key: str | None
) -> dict[str, Any]:
    from hub.cli.failure import Failed
    from hub.cli.say import open_source
    from hub.contract.errors import HubError

    async with open_source(session, url, api_key) as source:
        warm = await _one(source, request)  # loads the model, and reports an invalid request at once
        runs: list[dict[str, Any]] = []
        errors: list[str] = []
        left = iter(range(requests))

        async def client() -> None:
            for _ in left:
                try:
                    runs.append(await _one(source, request))
                except (HubError, Failed) as error:
                    errors.append(error.code)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, requests)):
                group.create_task(client())
        wall = time.perf_counter() - began
    return {"requests": requests, "concurrency": concurrency, **_result(warm, runs, errors, wall)}


async def _one(source: Source, request: SpeechRequest) -> dict[str, Any]:
    asked = time.perf_counter()
    async with source.speak(request, whole=False) as answer:
        async for _ in answer:
            pass
        return {
            "model": answer.model,
            "load": answer.load,
            "first_audio": answer.first_audio or 0.0,
            "seconds": answer.seconds or 0.0,
            "total": time.perf_counter() - asked - answer.load,
        }


def _result(warm: dict[str, Any], runs: list[dict[str, Any]], errors: list[str], wall: float) -> dict[str, Any]:
    audio = sum(run["seconds"] for run in runs)
    first = [run["first_audio"] * 1000 for run in runs]
    return {
        "model": warm["model"],
        "failed": len(errors),
        "errors": ", ".join(sorted(set(errors))) or None,
        "load_ms": round(warm["load"] * 1000, 1) or None,
        "first_audio_p50_ms": _percentile(first, 50),
        "first_audio_p95_ms": _percentile(first, 95),
        "rtf": round(statistics.median(run["total"] / run["seconds"] for run in runs), 4) if audio else None,
        "audio_seconds": round(audio, 2),
        "wall_seconds": round(wall, 2),
        "audio_seconds_per_second": round(audio / wall, 2) if wall else None,
    }


def _percentile(values: list[float], percent: int) -> float | None:
    """Return the smallest value that at least `percent` % of the values do not exceed."""
    if not values:
        return None
    ranked = sorted(values)
    return round(ranked[max(0, -(-len(ranked) * percent // 100) - 1)], 1)
