"""`ttshub book`: speak a book, one audio file per chapter. After an interruption it resumes where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from hub.cli.report import echo_json
from hub.cli.say import key_and_value
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.jobs import Jobs
    from hub.contract.task import Task
    from hub.service.tasks.speech_plan import SpeechTask
    from hub.text.book import Book

MANIFEST = "book.json"
"""The file in the output folder that records the finished chapters; a later run skips these."""

STATE = ".ttshub"
"""The folder in the output folder that keeps the unfinished work of a run without a server."""


class Finished(Struct, kw_only=True, omit_defaults=True):
    """A finished chapter. `task` is a hash of all that it was made from."""

    title: str
    file: str
    task: str
    seconds: float
    subtitles: str = ""


class Manifest(Struct, kw_only=True):
    """The content of `MANIFEST`."""

    title: str = ""
    author: str = ""
    chapters: list[Finished] = []


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to")
@click.option("-f", "--format", "container", default="mp3", show_default=True, help="wav, mp3, opus, aac, flac")
@click.option("-m", "--model", help="Model name [default: the hub's default model]")
@click.option("-v", "--voice", help="Voice id [default: the model's default voice]")
@click.option("--language", help="Language of the text, such as en or zh-CN")
@click.option("--instruct", help="How to say it, in words")
@click.option("--speed", type=float, help="1.0 is the model's natural pace")
@click.option("--seed", type=int, help="The same seed gives the same audio")
@click.option("--subtitles", type=click.Choice(("srt", "vtt")), help="Also write subtitles beside each file")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the backend; may be repeated"
)
@url_options
@json_option
@session_options
@click.pass_obj
def book(
    session: Session,
    /,
    file: Path,
    out: Path,
    container: str,
    subtitles: str | None,
    options: tuple[str, ...],
    url: str | None,
    api_key: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Speak a book: FILE is .txt, .md or .epub.

    Each chapter becomes a numbered file in the folder. Run the same command again
    after an interruption: finished chapters are not spoken again.
    """
    from hub.cli.failure import Failed

    found = _read_into(file, out)
    chosen = {name: value for name, value in fields.items() if value is not None}
    chosen |= {"options": dict(map(key_and_value, options)), "format": {"container": container}}
    work = _Book(
        found, out, subtitles, [_task(found, number, chosen, subtitles) for number in range(len(found.chapters))]
    )
    failed = session.run(_speak(session, work, url, api_key))
    if as_json:
        echo_json(work.manifest)
    for name, message in failed.items():
        click.echo(f"{name}: {message}", err=True)
    if failed:
        raise Failed("book_unfinished", f"{len(failed)} of {len(found.chapters)} chapters could not be spoken")


def _read_into(file: Path, out: Path) -> Book:
    """Read a book, and make the folder for its audio. Raises Failed."""
    from hub.cli.failure import Failed
    from hub.text.book import BookError
    from hub.text.read_book import read_book

    try:
        found = read_book(file)
        out.mkdir(parents=True, exist_ok=True)
    except BookError as error:
        raise Failed("bad_book", str(error)) from None
    except OSError as error:
        raise Failed("bad_book", f"{error.filename or file}: {error.strerror}") from None
    return found


def _task(book: Book, number: int, chosen: dict[str, Any], subtitles: str | None) -> SpeechTask:
    """Return the task for a chapter; its id is a hash of all the rest."""
    import msgspec

    from hub.service.tasks.speech_plan import SpeechTask

    chapter = book.chapters[number]
    body = {**chosen, "text": chapter.text, "title": chapter.title[:500], "subtitles": subtitles is not None}
    try:
        task = msgspec.convert(body, SpeechTask)
    except msgspec.ValidationError as error:
        message, _, field = str(error).replace("`", "").partition(" - at $.")
        raise click.UsageError(f"--{field}: {message[:1].lower()}{message[1:]}" if field else message) from None
    digest = hashlib.sha256(str(number).encode() + msgspec.json.encode(task, order="deterministic")).hexdigest()
    task.id = f"book-{digest[:32]}"
    return task


class _Book:
    """The output folder, as chapters are added to it."""

    def __init__(self, book: Book, out: Path, subtitles: str | None, tasks: list[SpeechTask]) -> None:
        self.out = out
        self.subtitles = subtitles
        self.tasks = tasks
        self._width = max(2, len(str(len(tasks))))
        known = {one.task: one for one in _read(out / MANIFEST).chapters}
        done = [known.get(task.id or "") for task in tasks]
        self.chapters = [one if one and (out / one.file).is_file() else None for one in done]
        self._book = book

    @property
    def manifest(self) -> Manifest:
        """The manifest of the chapters in the folder now."""
        return Manifest(
            title=self._book.title, author=self._book.author, chapters=[one for one in self.chapters if one]
        )

    def name(self, number: int) -> str:
        """Return the name of the chapter's file, without its extension."""
        title = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', " ", self.title(number))[:80]
        return f"{number + 1:0{self._width}} {' '.join(title.split()).strip(' .') or 'Chapter'}"

    def title(self, number: int) -> str:
        """Return the chapter's title, or its number if it has none."""
        return self.tasks[number].title or f"Chapter {number + 1}"

    async def keep(self, jobs: Jobs, number: int, task: Task) -> None:
        """Write a finished chapter into the folder, and delete its task."""
        made = (task.result or {})["items"][0]
        file = f"{self.name(number)}{Path(made['file']).suffix}"
        chapter = Finished(title=self.title(number), file=file, task=task.id, seconds=round(made["seconds"], 3))
        if self.subtitles:
            chapter.subtitles = f"{self.name(number)}.{self.subtitles}"
            name = Path(made["file"]).with_suffix(f".{self.subtitles}").name
            await jobs.fetch(task.id, name, self.out / chapter.subtitles, item=1, subtitles=self.subtitles)
        await jobs.fetch(task.id, made["file"], self.out / file, item=1)
        self.chapters[number] = chapter
        self._write()
        await jobs.delete(task.id)

    def _write(self) -> None:
        import msgspec

        from hub.service.disk.folder import storing, write_file

        with storing("the list of finished chapters"):
            write_file(self.out / MANIFEST, msgspec.json.format(msgspec.json.encode(self.manifest), indent=2))


def _read(file: Path) -> Manifest:
    import msgspec

    try:
        return msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return Manifest()


async def _speak(session: Session, work: _Book, url: str | None, api_key: str | None) -> dict[str, str]:
    """Speak the missing chapters; return why some failed, by the names of their files."""
    from hub.cli.bars import Bars
    from hub.cli.jobs import open_jobs

    missing = [number for number, chapter in enumerate(work.chapters) if chapter is None]
    wanted = {work.tasks[number].id or "" for number in missing}
    failed: dict[str, str] = {}
    if not missing:
        return failed
    try:
        async with open_jobs(session, work.out / STATE, wanted, url, api_key) as jobs:
            for number in missing:
                await _submit(jobs, work.tasks[number])
            with Bars() as bars:
                for number in missing:
                    task = None
                    async for task in jobs.watch(work.tasks[number].id or ""):
                        bars.show(work.name(number), task)
                    if task is not None and task.state == "completed":
                        await work.keep(jobs, number, task)
                    else:
                        error = task.error if task is not None else None
                        failed[work.name(number)] = str((error or {}).get("message", "was cancelled"))
    except asyncio.CancelledError:
        where = "the hub continues the book; " if url else ""
        click.echo(f"{where}run the same command again to continue", err=True)
        raise
    return failed


async def _submit(jobs: Jobs, body: SpeechTask) -> None:
    """Submit the task of a chapter, or find it running; retry one that failed before."""
    task = await jobs.submit(body)
    if task.state in ("failed", "cancelled"):
        await jobs.delete(task.id)
        await jobs.submit(body)
