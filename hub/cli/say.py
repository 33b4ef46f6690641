"""`ttshub say`: speak a text to a file, to stdout or to the speakers, with or without a server."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hub.cli.report import echo_json
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.answer import Answer
    from hub.cli.sink import Sink
    from hub.contract.conversion import ConversionRequest
    from hub.contract.speech import SpeechRequest

CONTAINERS = {"ogg": "opus", "raw": "pcm", "wave": "wav"}
"""File extensions that differ from the container's name."""

LONG_TEXT = 300
"""Characters from which a text shows its progress."""


@click.command()
@click.argument("text", required=False)
@click.option("-o", "--out", help="File to write, - for stdout [default: play it]", metavar="FILE")
@click.option(
    "-f", "--format", "container", help="wav, pcm, mp3, opus, aac, flac [default: by FILE's extension, or wav]"
)
@click.option("-m", "--model", help="Model name [default: the hub's default model]")
@click.option("-v", "--voice", help="Voice id [default: the model's default voice]")
@click.option("--language", help="Language of the text, such as en or zh-CN")
@click.option("--instruct", help="How to say it, in words")
@click.option("--speed", type=float, help="1.0 is the model's natural pace")
@click.option("--seed", type=int, help="The same seed gives the same audio")
@click.option("--sample-rate", type=int, help="Hz [default: the model's own]")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the backend; may be repeated"
)
@url_options
@json_option
@session_options
@click.pass_obj
def say(
    session: Session,
    /,
    text: str | None,
    out: str | None,
    container: str | None,
    options: tuple[str, ...],
    sample_rate: int | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Speak TEXT, or the text on stdin.

    \b
      ttshub say "Hello from the hub." --out hello.wav
      ttshub say < chapter.txt --out chapter.mp3
      ttshub say "Hello" --out - --format mp3 | mpv -
    """
    chosen = {"container": container or container_of(out), "sample_rate": sample_rate}
    request = request_of(
        "speech",
        text=_text(text),
        format={name: value for name, value in chosen.items() if value is not None},
        options=dict(map(key_and_value, options)),
        **{name: value for name, value in fields.items() if value is not None},
    )
    sink = sink_for(out, container)
    print_summary(session.run(answer_into(session, request, sink, url, api_key)), out, as_json)


def print_summary(summary: dict[str, Any], out: str | None, as_json: bool) -> None:
    """Print the summary that `answer_into` returned."""
    summary["path"] = out if out != "-" else None
    if summary["seconds"] is None and out is not None and Path(out).is_file():
        summary["seconds"] = seconds_of(Path(out))
    if as_json:
        echo_json(summary, err=out == "-")
    elif summary["path"]:
        length = "" if summary["seconds"] is None else f"{summary['seconds']:.1f} s, "
        click.echo(f"{out}: {length}model {summary['model']}, voice {summary['voice'] or 'none'}", err=True)


def _text(text: str | None) -> str:
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise click.UsageError("no TEXT given; pass it as an argument, or on stdin")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"stdin is not UTF-8 text (byte {error.start})") from None


def container_of(out: str | None) -> str:
    """Return the container for a file of this name."""
    if out is None or out == "-":
        return "wav"
    extension = Path(out).suffix.lstrip(".").lower()
    if not extension and not Path(out).exists():
        raise click.UsageError(f"{out!r} has no extension to tell the format by; add one, or use --format")
    return CONTAINERS.get(extension, extension) or "wav"


def key_and_value(text: str) -> tuple[str, Any]:
    """Split `k=v`; v is read as JSON if it is valid JSON, else it stays text."""
    import msgspec

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--option {text!r} is not KEY=VALUE")
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value


def request_of(kind: Literal["speech", "conversion"], /, **fields: Any) -> Any:
    """Return a SpeechRequest or ConversionRequest. Raises UsageError if `fields` are invalid."""
    import msgspec

    from hub.contract import ConversionRequest, SpeechRequest

    wanted: Any = SpeechRequest if kind == "speech" else ConversionRequest
    try:
        return msgspec.convert(fields, wanted)
    except msgspec.ValidationError as error:
        message, _, field = str(error).replace("`", "").partition(" - at $.")
        name = field.removeprefix("format.").replace("_", "-")
        raise click.UsageError(f"--{name}: {message[:1].lower()}{message[1:]}" if field else message) from None


def sink_for(out: str | None, container: str | None) -> Sink:
    """Return the sink for the audio. Raises UsageError."""
    from hub.cli.sink import FileSink, PlayerSink, StdoutSink

    if out is None:
        if container not in (None, "wav"):
            raise click.UsageError("--format needs --out; the speakers always get wav")
        return PlayerSink()
    return StdoutSink() if out == "-" else FileSink(Path(out))


async def answer_into(
    session: Session, request: SpeechRequest | ConversionRequest, sink: Sink, url: str | None, api_key: str | None
) -> dict[str, Any]:
    """Have a hub answer `request` into `sink`; return the summary."""
    from hub.cli.progress import Progress

    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_source(session, url, api_key))
        answer: Answer = await stack.enter_async_context(source.speak(request, whole=sink.whole))
        began = time.perf_counter()
        chars = len(getattr(request, "text", None) or "")
        long = chars >= LONG_TEXT
        async with sink:
            with Progress(chars, shown=long and sys.stderr.isatty()) as progress:
                async for part in answer:
                    progress.update(answer)
                    await sink.write(part)
        took = time.perf_counter() - began + (answer.first_audio or 0.0)
        return summary_of(answer, took)


def open_source(session: Session, url: str | None, api_key: str | None) -> Any:
    """Return a `Source` as a context manager: the hub at `url`, else one in this process."""
    if url:
        from hub.cli.remote import RemoteHub

        return RemoteHub(url, api_key)
    from hub.cli.local import LocalHub
    from hub.service.hub import Hub

    settings = session.settings()
    return LocalHub(Hub.build(settings, session.plugins(settings)))


def seconds_of(file: Path) -> float | None:
    """Return the length of a compressed file's audio, from its packets; None if it cannot be read."""
    import av

    try:
        with av.open(str(file)) as opened:
            stream = opened.streams.audio[0]
            length = sum((packet.duration or 0) * (packet.time_base or 0) for packet in opened.demux(stream))
            return round(float(length), 3)
    except (av.FFmpegError, IndexError):
        return None


def summary_of(answer: Answer, took: float) -> dict[str, Any]:
    """Return what --json prints. `rtf` is seconds of work for each second of audio."""
    seconds = answer.seconds
    return {
        "model": answer.model,
        "voice": answer.voice,
        "sample_rate": answer.sample_rate,
        "seconds": None if seconds is None else round(seconds, 3),
        "load_ms": round(answer.load * 1000, 1),
        "first_audio_ms": None if answer.first_audio is None else round(answer.first_audio * 1000, 1),
        "rtf": round(took / seconds, 4) if seconds else None,
    }
