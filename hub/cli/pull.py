"""`ttshub pull`: fetch a backend's checkpoint, and print its configuration."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from hub.cli.failure import FAILED, UNREACHABLE, Failed
from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options

if TYPE_CHECKING:
    from hub.contract.backend import BackendSpec, Checkpoint
    from hub.service.checkpoints.pull import Pulled


@click.command()
@click.argument("backend", required=False)
@click.argument("variant", required=False)
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to")
@click.option("--revision", default="", help="Branch, tag or commit [default: the plugin's choice]")
@click.option("--source", type=click.Choice(["hf", "modelscope"]), help="[default: hf, if it is published there]")
@click.option("--offline", is_flag=True, help="Fetch nothing; check that every file is there")
@json_option
@session_options
@click.pass_obj
def pull(
    session: Session,
    backend: str | None,
    variant: str | None,
    folder: Path | None,
    revision: str,
    source: Any,
    offline: bool,
    as_json: bool,
) -> None:
    """Fetch the checkpoint of a BACKEND.

    Without BACKEND it lists the checkpoints. An interrupted transfer resumes where it
    stopped, and each file is checked against its publisher's checksum. HF_ENDPOINT,
    HF_TOKEN, MODELSCOPE_ENDPOINT and MODELSCOPE_API_TOKEN are honoured.
    """
    settings = session.settings()
    backends = session.plugins(settings).backends
    if backend is None:
        _list(backends, as_json)
        return
    spec, variant, checkpoint = _find(backends, backend, variant)
    if folder is None:
        from hub.service.disk.folder import data_folder

        folder = data_folder(settings) / "models" / spec.name / variant
    done = _pull(checkpoint, folder.expanduser().absolute(), revision, source, offline, shown=not as_json)
    name = spec.name if variant in ("", "default") else variant
    _print(done, name, toml(name, spec, checkpoint, done.folder), as_json)


def _print(done: Pulled, model: str, table: str, as_json: bool) -> None:
    """Print what was pulled, and the table that configures `model`."""
    if as_json:
        import msgspec

        echo_json({**msgspec.structs.asdict(done), "model": model, "toml": table})
        return
    from hub.service.disk.sizes import show_size

    click.echo(
        f"{done.repository} at {done.revision}: {done.files} files, {show_size(done.size)}, "
        f"{show_size(done.fetched)} of it fetched now",
        err=True,
    )
    click.echo(table)


def toml(name: str, spec: BackendSpec, checkpoint: Checkpoint, folder: str) -> str:
    """Return the `[models.NAME]` table for a pulled checkpoint, ready to paste into hub.toml."""
    table = {"backend": spec.name, "path": folder, **checkpoint.model}
    lines = (f"{_key(key)} = {_value(value)}" for key, value in table.items())
    return "\n".join((f"[models.{_key(name)}]", *lines))


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text)


def _value(value: Any) -> str:
    """Return a value as TOML writes it. Its strings, numbers and lists are those of JSON; its tables are not."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _list(backends: dict[str, BackendSpec], as_json: bool) -> None:
    from hub.service.disk.sizes import show_size

    if as_json:
        echo_json({name: spec.checkpoints for name, spec in backends.items() if spec.checkpoints})
        return
    rows = [
        (
            plain(name),
            plain(variant),
            show_size(one.size) if one.size else "",
            plain(one.huggingface),
            plain(one.modelscope),
            plain(one.licence or spec.licence),
            plain(one.description),
        )
        for name, spec in backends.items()
        for variant, one in spec.checkpoints.items()
    ]
    if not rows:
        click.echo("no installed backend has a checkpoint to pull")
        return
    echo_table(("backend", "variant", "size", "Hugging Face", "ModelScope", "licence", "what"), rows)


def _find(backends: dict[str, BackendSpec], name: str, variant: str | None) -> tuple[BackendSpec, str, Checkpoint]:
    spec = backends.get(name)
    if spec is None:
        raise click.UsageError(f"there is no backend {name!r}; installed: {', '.join(sorted(backends)) or 'none'}")
    if not spec.checkpoints:
        raise click.UsageError(f"backend {name!r} has nothing to pull")
    known = ", ".join(spec.checkpoints)
    if variant is None and len(spec.checkpoints) > 1:
        raise click.UsageError(f"backend {name!r} has several checkpoints: {known}; choose one")
    variant = variant if variant is not None else next(iter(spec.checkpoints))
    if variant not in spec.checkpoints:
        raise click.UsageError(f"backend {name!r} has no checkpoint {variant!r}; it has: {known}")
    return spec, variant, spec.checkpoints[variant]


def _pull(checkpoint: Checkpoint, folder: Path, revision: str, source: Any, offline: bool, *, shown: bool) -> Pulled:
    from hub.service.checkpoints.pull import pull as fetch
    from hub.service.checkpoints.transfer import PullFailed

    try:
        with Bar(shown=shown and not offline and sys.stderr.isatty()) as bar:
            return fetch(checkpoint, folder, source=source, revision=revision, offline=offline, watcher=bar)
    except PullFailed as error:
        failed = Failed(error.code, error.message, error.hint)
        failed.exit_code = UNREACHABLE if error.code == "source_unreachable" else FAILED
        raise failed from None
    except OSError as error:
        raise Failed(
            "storage_failed",
            f"{folder}: {error.strerror or error}",
            "free some space, fix its permissions, or use --dir",
        ) from None


class Bar:
    """A `Watcher` that shows a progress bar on stderr, if `shown`."""

    def __init__(self, *, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        )
        self._task = self._bar.add_task("listing", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, files: int, size: int) -> None:
        """Implement `Watcher.begin`."""
        self._bar.update(self._task, total=size, description=f"{files} files")

    def file(self, path: str) -> None:
        """Implement `Watcher.file`."""
        self._bar.update(self._task, description=path if len(path) <= 40 else f"...{path[-37:]}")

    def progress(self, size: int) -> None:
        """Implement `Watcher.progress`."""
        self._bar.advance(self._task, size)
