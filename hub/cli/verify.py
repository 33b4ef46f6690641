"""`ttshub verify`: have a model speak sentences, listen to them, and judge what was heard."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.cli.failure import FAILED, Failed
from hub.cli.report import echo_json, echo_table
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.takes import Wanted
    from hub.contract.speech import Reference
    from hub.verify.judge import Recital
    from hub.verify.listener import Listener
    from hub.verify.verdict import Bounds, Language, Report

LANGUAGES = ("en", "zh", "ja", "ko")

Tell = Callable[[str], None]
"""Shows what is being done."""


@click.command()
@click.argument("model")
@click.option("-v", "--voice", help="Voice id [default: the model's default voice]")
@click.option(
    "-r",
    "--reference",
    "references",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A recording to speak like, instead of --voice; may be repeated",
)
@click.option("--text", "texts", multiple=True, help="Transcript, once for each FILE [default: FILE's .txt or .lab]")
@click.option(
    "--language",
    "languages",
    multiple=True,
    type=click.Choice(LANGUAGES),
    help="May be repeated [default: all that the model speaks]",
)
@click.option(
    "-n", "--sentences", type=click.IntRange(1, 6), default=6, show_default=True, help="Sentences in each language"
)
@click.option(
    "--whisper",
    default="small",
    show_default=True,
    metavar="NAME|PATH",
    help="Who listens: a size, a repository on Hugging Face, or a folder",
)
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to keep the audio in")
@click.option("--max-wer", type=float, default=0.1, show_default=True, help="Most wrong words, as a share of the text")
@click.option("--max-cer", type=float, default=0.2, show_default=True, help="The same of characters, for zh, ja, ko")
@click.option("--min-similarity", type=float, default=0.3, show_default=True, help="Least likeness of the voice")
@click.option(
    "--pace",
    type=(float, float),
    default=(0.65, 1.6),
    show_default=True,
    metavar="LEAST MOST",
    help="How fast, in multiples of an ordinary reader",
)
@click.option("--max-rtf", type=float, help="Most seconds of work for each second of audio [default: any]")
@click.option("--max-first-sound", type=float, help="Most seconds until something is heard [default: any]")
@click.option("--max-memory", help="Most memory of the worker, such as '4 GiB' [default: any]", metavar="SIZE")
@url_options
@json_option
@session_options
@click.pass_obj
def verify(
    session: Session,
    /,
    model: str,
    voice: str | None,
    references: tuple[Path, ...],
    texts: tuple[str, ...],
    languages: tuple[str, ...],
    sentences: int,
    whisper: str,
    out: Path | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Have MODEL speak sentences, listen to them, and judge what was heard.

    Prints the rate of wrong words or characters, the pace, the likeness of the voice to its
    recordings (of the sentences to each other, without any), speed and memory. Exits with
    code 1 if one is out of bounds. Needs the extra tts-hub[verify].

    \b
      ttshub verify hibari
      ttshub verify cosyvoice2 --voice anna --language zh --whisper large-v3-turbo
    """
    bounds = _bounds(**limits)
    if bounds.max_memory is not None and url:
        raise click.UsageError("--max-memory cannot be used with --url: the worker's memory is not known from here")
    if voice is not None and references:
        raise click.UsageError("give either --voice or --reference, not both")
    from hub.cli.takes import Wanted

    wanted = Wanted(
        model=model, voice=voice, references=_references(references, texts), languages=languages, most=sentences
    )
    with _progress() as tell:
        report = session.run(_verify(session, wanted, bounds, whisper, out, url, api_key, tell))
    if as_json:
        echo_json(_rounded(report))
    else:
        _print(report)
    if not report.passed:
        click.get_current_context().exit(FAILED)


def _bounds(
    max_wer: float, max_cer: float, pace: tuple[float, float], max_memory: str | None, **others: float | None
) -> Bounds:
    from hub.service.disk.sizes import parse_size
    from hub.verify.verdict import Bounds

    try:
        memory = None if max_memory is None else parse_size(max_memory)
    except ValueError as error:
        raise click.UsageError(f"--max-memory: {error}") from None
    least, most = pace
    if not 0 <= least < most:
        raise click.UsageError(f"--pace: {least:g} is not below {most:g}, or is below 0")
    known: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    return Bounds(
        max_word_errors=max_wer,
        max_character_errors=max_cer,
        min_pace=least,
        max_pace=most,
        max_memory=memory,
        **known,
    )


def _references(files: Sequence[Path], texts: Sequence[str]) -> tuple[Reference, ...]:
    from hub.contract.speech import Reference
    from hub.service.library.voice_import import transcript_beside

    if texts and len(texts) != len(files):
        raise click.UsageError(
            f"there are {len(files)} --reference and {len(texts)} --text: give each its own, or none"
        )
    transcripts: Sequence[str | None] = texts or [transcript_beside(file) for file in files]
    return tuple(Reference(audio=file.read_bytes(), text=text) for file, text in zip(files, transcripts, strict=True))


async def _verify(
    session: Session,
    wanted: Wanted,
    bounds: Bounds,
    whisper: str,
    out: Path | None,
    url: str | None,
    api_key: str | None,
    tell: Tell,
) -> Report:
    """Find the model, load the listener, have the model speak, and listen once it is gone."""
    from msgspec.structs import replace

    from hub.cli.say import open_source
    from hub.cli.takes import find, recite
    from hub.verify.judge import judge

    async with open_source(session, url, api_key) as source:
        await find(source, wanted.model)
        tell("loading Whisper")
        listener = await asyncio.to_thread(_listener, whisper)
        tell("loading the model")
        wanted = replace(wanted, english_only=listener.english_only)
        recital = await recite(source, wanted, lambda done, all: tell(f"speaking sentence {done + 1} of {all}"))
    if out is not None:
        await asyncio.to_thread(_keep, recital, out)
    tell("listening")
    return await asyncio.to_thread(judge, recital, listener.hear, bounds)


def _listener(whisper: str) -> Listener:
    """Load Whisper. Raises Failed."""
    from hub.verify.listener import CannotListen, Listener

    try:
        return Listener(whisper)
    except ModuleNotFoundError:
        raise Failed(
            "missing_package", "this command needs the package faster-whisper", "pip install 'tts-hub[verify]'"
        ) from None
    except CannotListen as error:
        raise Failed(
            "bad_input", str(error), "--whisper takes a size such as small, or the folder of a Whisper"
        ) from error


def _keep(recital: Recital, folder: Path) -> None:
    """Write the audio of each sentence into `folder`, as en-1.wav and so on. Raises StorageFailed."""
    from hub.audio.decode import Audio, to_wav_f32
    from hub.service.disk.folder import storing, write_file
    from hub.verify.sentences import SENTENCES

    with storing(f"the audio in {folder}"):
        for one in recital.spoken:
            language, number = one.sentence.language, SENTENCES[one.sentence.language].index(one.sentence) + 1
            if one.samples.size:
                write_file(folder / f"{language}-{number}.wav", to_wav_f32(Audio(one.samples, one.sample_rate)))


def _rounded(value: Any) -> Any:
    """Return `value` as builtins, with four digits after the point, which is more than the measures are worth."""
    from msgspec import to_builtins

    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value if isinstance(value, str | int | None) else _rounded(to_builtins(value))


def _print(report: Report) -> None:
    from hub.service.disk.sizes import show_size

    columns = ("language", "wrong", "lost ends", "pace", "similarity", "RTF", "first sound")
    echo_table(columns, map(_row, report.languages))
    memory = "unknown" if report.peak_memory is None else show_size(report.peak_memory)
    voice = report.voice or "none"
    click.echo(f"\nmodel {report.model}, voice {voice}, compared with {report.compared_with}")
    click.echo(f"loaded in {report.load:.1f} s, memory at most {memory}")
    for take in report.takes:
        if take.errors and not take.error:
            click.echo(f"said:  {take.text}\nheard: {take.heard}")
    click.echo(f"\n{click.style('passed', fg='green') if report.passed else click.style('failed', fg='red')}")
    for failure in report.failures:
        click.echo(f"  {failure}")


def _row(found: Language) -> list[str]:
    """Return a row of the table: a dash where there is nothing to measure."""
    figures = ((found.pace, ".2f"), (found.similarity, ".2f"), (found.rtf, ".2f"), (found.first_sound, ".2f"))
    pace, similarity, rtf, first_sound = ["-" if value is None else format(value, form) for value, form in figures]
    return [
        found.language,
        f"{found.error_rate:.1%} of {found.unit}",
        f"{found.lost_ends} of {found.sentences}",
        pace,
        similarity,
        rtf,
        first_sound if first_sound == "-" else f"{first_sound} s",
    ]


@contextmanager
def _progress() -> Iterator[Tell]:
    """Yield a function that shows what is being done; it shows nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
