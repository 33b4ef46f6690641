"""`ttshub voices`: the voices of this machine, or of a running hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, library_command, session_options

if TYPE_CHECKING:
    from hub.cli.voice_library import Voice, Voices


@click.group()
@session_options
def voices() -> None:
    """List, add, import and export voices.

    A stored voice is a folder of recordings with transcripts. The voices are those in the
    data folder of this machine; with --url, those of a running hub.
    """


_command = library_command(voices)


def _run(session: Session, url: str | None, api_key: str | None, work: Callable[[Voices], Any]) -> Any:
    """Run `work`, a coroutine function, on the library; return its result."""
    from hub.cli.voice_library import open_voices

    async def run() -> Any:
        async with open_voices(session, url, api_key) as library:
            return await work(library)

    return session.run(run())


@_command("list")
@click.option("--model", help="Only voices that this model can use")
def list_voices(session: Session, url: str | None, api_key: str | None, as_json: bool, model: str | None) -> None:
    """List all voices, and which models can use them.

    With --url it also lists the presets of models that have been loaded.
    """
    found = _run(session, url, api_key, lambda library: library.catalog(model))
    if as_json:
        echo_json(found)
        return
    columns = ("voice", "kind", "languages", "recordings", "models")
    echo_table(columns, (_row(voice) for voice in found["voices"]))
    for problem in found["problems"]:
        click.echo(f"{problem['id']}: {problem['problem']}", err=True)


def _row(voice: Voice) -> tuple[str, ...]:
    seconds = sum(recording.get("seconds", 0.0) for recording in voice["recordings"])
    recordings = f"{len(voice['recordings'])} ({seconds:.1f} s)" if voice["recordings"] else ""
    usable = [plain(name) for name, fit in voice["models"].items() if fit["usable"]]
    return plain(voice["id"]), voice["kind"], ", ".join(voice["languages"]), recordings, ", ".join(usable)


@_command("show")
@click.argument("id")
def show(session: Session, url: str | None, api_key: str | None, as_json: bool, id: str) -> None:
    """Show a voice: its recordings, and for each model whether it can use the voice, and why not."""
    _show(_run(session, url, api_key, lambda library: library.get(id)), as_json)


def _show(voice: Voice, as_json: bool) -> None:
    if as_json:
        echo_json(voice)
        return
    for name in ("id", "kind", "name", "languages", "tags", "description", "consent"):
        if value := voice[name]:
            click.echo(f"{name}: {value if isinstance(value, str) else ', '.join(value)}")
    for recording in voice["recordings"]:
        words = recording.get("text") or "(no transcript)"
        click.echo(f"{recording['file']}: {recording['seconds']:.1f} s, {recording['sample_rate']} Hz: {words}")
    for name, fit in voice["models"].items():
        click.echo(f"{name}: {'yes' if fit['usable'] else fit['reason']}")


@_command("add")
@click.argument("id")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--text", "texts", multiple=True, help="Transcript, once for each file [default: FILE's .txt or .lab]")
@click.option("--name", default="", help="Display name [default: the id]")
@click.option("--language", help="BCP 47 tag, such as en or zh-CN")
@click.option("--tag", "tags", multiple=True, help="May be repeated")
@click.option("--description", default="")
@click.option("--consent", default="", help="Who allowed the use of the voice")
def add(
    session: Session,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    id: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    **facts: Any,
) -> None:
    """Store the recordings FILES as the voice ID."""
    from hub.service.library.voice_import import Foreign, transcript_beside

    if texts and len(texts) != len(files):
        raise click.UsageError(f"there are {len(files)} files and {len(texts)} --text: give one for each file, or none")
    transcripts = texts or [transcript_beside(file) for file in files]
    found = Foreign(id=id, recordings=[*zip(files, transcripts, strict=True)], facts=facts)
    _show(_run(session, url, api_key, lambda library: library.add(found.read())), as_json)


@_command("rename")
@click.argument("id")
@click.argument("new_id")
def rename(session: Session, url: str | None, api_key: str | None, as_json: bool, id: str, new_id: str) -> None:
    """Change the id of a voice."""
    _show(_run(session, url, api_key, lambda library: library.rename(id, new_id)), as_json)


@_command("remove")
@click.argument("ids", nargs=-1, required=True)
def remove(session: Session, url: str | None, api_key: str | None, as_json: bool, ids: tuple[str, ...]) -> None:
    """Remove voices, with their recordings."""

    async def work(library: Voices) -> None:
        for id in ids:
            await library.remove(id)

    _run(session, url, api_key, work)
    if as_json:
        echo_json({"removed": ids})


@_command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
def import_voices(session: Session, url: str | None, api_key: str | None, as_json: bool, source: Path) -> None:
    """Import the voices in another program's folder SOURCE.

    Reads fish-speech's references, Higgs Audio's voice_prompts, GPT-SoVITS' .list files,
    and exported voices. Voices whose id is taken are skipped.
    """
    from hub.contract.errors import Conflict, HubError
    from hub.service.library.voice_import import find_voices

    async def work(library: Voices) -> Any:
        rows = []
        for found in find_voices(source):
            more = f"; {found.left_out} further recordings left out" if found.left_out else ""
            try:
                voice = await library.add(found.read())
                rows.append(
                    {"voice": found.id, "outcome": "kept", "why": f"{len(voice['recordings'])} recordings{more}"}
                )
            except HubError as error:
                outcome = "skipped" if isinstance(error, Conflict) else "failed"
                rows.append({"voice": found.id, "outcome": outcome, "why": error.message})
        return rows

    rows = _run(session, url, api_key, work)
    if as_json:
        echo_json(rows)
    else:
        echo_table(("voice", "outcome", "why"), ([plain(cell) for cell in row.values()] for row in rows))
    if any(row["outcome"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


@_command("export")
@click.argument("ids", nargs=-1)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write to")
def export(
    session: Session, url: str | None, api_key: str | None, as_json: bool, ids: tuple[str, ...], out: Path
) -> None:
    """Write voices (all, if no IDS are given) as folders that any hub can import.

    Each voice becomes a folder: its recordings, a .txt beside each, and voice.json.
    """
    from hub.service.disk.folder import exclusive, storing, write_folder
    from hub.service.disk.ids import check_id

    async def work(library: Voices) -> Any:
        stored = [voice["id"] for voice in (await library.catalog(None))["voices"] if voice["kind"] == "stored"]
        written = []
        for id in ids or stored:
            files = await _files(library, await library.get(id))
            with storing(f"voice {id!r}"), exclusive(out):
                write_folder(out / check_id(id), files)
            written.append(id)
        return written

    written = _run(session, url, api_key, work)
    (out / ".lock").unlink(missing_ok=True)
    if as_json:
        echo_json({"written": written})
    else:
        click.echo(f"{len(written)} voices written to {out}")


async def _files(library: Voices, voice: Voice) -> dict[str, bytes]:
    from hub.contract.errors import InvalidRequest
    from hub.service.library.voice_folder import FACTS, Facts, facts_file

    if voice["kind"] != "stored":
        raise InvalidRequest(f"{voice['id']!r} is a preset: it has no recordings to export")
    facts = Facts(
        name=voice["name"],
        language=next(iter(voice["languages"]), None),
        tags=tuple(voice["tags"]),
        description=voice["description"],
        consent=voice["consent"],
        created=voice["created"],
        updated=voice["updated"],
    )
    files = {FACTS: facts_file(facts)}
    for number, recording in enumerate(voice["recordings"]):
        name = Path(recording["file"]).name
        files[name] = await library.recording(voice["id"], number)
        if recording.get("text"):
            files[str(Path(name).with_suffix(".txt"))] = f"{recording['text']}\n".encode()
    return files
