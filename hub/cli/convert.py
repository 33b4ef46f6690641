"""`ttshub convert`: say a recording again with another voice, with or without a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hub.cli.failure import Failed
from hub.cli.say import answer_into, container_of, key_and_value, print_summary, request_of, sink_for
from hub.cli.session import Session, json_option, session_options, url_options


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("-o", "--out", help="File to write, - for stdout [default: play it]", metavar="FILE")
@click.option(
    "-f", "--format", "container", help="wav, pcm, mp3, opus, aac, flac [default: by FILE's extension, or wav]"
)
@click.option("-m", "--model", help="Model name [default: the default model if it converts, else the first that does]")
@click.option("-v", "--voice", help="Voice id [default: the model's default voice]")
@click.option(
    "-r",
    "--reference",
    "references",
    multiple=True,
    metavar="FILE",
    help="A recording to speak like, instead of --voice; may be repeated",
)
@click.option("--speed", type=float, help="1.0 is the recording's own pace")
@click.option("--seed", type=int, help="The same seed gives the same audio")
@click.option("--sample-rate", type=int, help="Hz [default: the model's own]")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the backend; may be repeated"
)
@url_options
@json_option
@session_options
@click.pass_obj
def convert(
    session: Session,
    /,
    source: str,
    out: str | None,
    container: str | None,
    references: tuple[str, ...],
    options: tuple[str, ...],
    sample_rate: int | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Say the recording SOURCE again with another voice.

    \b
      ttshub convert me.wav --voice anna --out anna.wav
      ttshub convert me.wav --reference anna.wav --out anna.mp3
    """
    chosen = {"container": container or container_of(out), "sample_rate": sample_rate}
    request = request_of(
        "conversion",
        audio=_read(source),
        references=[{"audio": _read(file)} for file in references],
        format={name: value for name, value in chosen.items() if value is not None},
        options=dict(map(key_and_value, options)),
        **{name: value for name, value in fields.items() if value is not None},
    )
    sink = sink_for(out, container)
    print_summary(session.run(answer_into(session, request, sink, url, api_key)), out, as_json)


def _read(file: str) -> bytes:
    """Return a file's bytes; `-` is stdin. Raises Failed."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Failed("bad_input", f"cannot read {file}: {error.strerror}") from None
