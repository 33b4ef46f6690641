"""`ttshub higgs`: the server that users of Higgs Audio know, on the hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from hub.cli.session import Session, session_options
from hub_higgs_audio.capabilities import BACKEND

if TYPE_CHECKING:
    from hub.settings import ModelSettings

EVERYWHERE = "0.0.0.0"


@click.group()
def higgs() -> None:
    """Higgs Audio: its server."""


@higgs.command()
@click.option("--host", default=EVERYWHERE, show_default=True, help="Address to listen on")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one")
@click.option(
    "--model-path", type=click.Path(exists=True, path_type=Path), help="Folder of the model [default: that of hub.toml]"
)
@click.option("--audio-tokenizer-path", type=click.Path(exists=True, path_type=Path), help="Folder of the codec")
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu")
@click.option("--max-new-tokens", type=click.IntRange(1, 100_000), default=2048, show_default=True, help="A chunk")
@click.option(
    "--voice-prompts-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("examples/voice_prompts"),
    show_default=True,
    help="Folder of NAME.wav and NAME.txt",
)
@click.option(
    "--scene-prompts-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("examples/scene_prompts"),
    show_default=True,
    help="Folder of NAME.txt",
)
@click.option("--reload", is_flag=True, help="Restart when the code of the plugin or the hub changes")
@click.option("--api-key", help="Key that callers must send")
@session_options
@click.pass_obj
def serve(
    session: Session,
    host: str,
    port: int,
    model_path: Path | None,
    audio_tokenizer_path: Path | None,
    device: str,
    max_new_tokens: int,
    voice_prompts_dir: Path,
    scene_prompts_dir: Path,
    reload: bool,
    api_key: str | None,
) -> None:
    """Serve the API of Higgs Audio servers alone, with their flags.

    Without --model-path it serves the models of hub.toml. Both folders are read again for each request.
    """
    from hub.cli.serve_alone import serve_alone
    from hub.settings import CompatSettings

    if reload and "TTSHUB_RELOADED" not in os.environ:
        _serve_and_reload()
        return
    settings = session.settings()
    own = settings.compat.get(BACKEND, CompatSettings())
    options: dict[str, Any] = dict(own.options)
    if voice_prompts_dir.is_dir():
        options["voice_prompts"] = str(voice_prompts_dir.absolute())
    scenes = [str(scene_prompts_dir.absolute())] if scene_prompts_dir.is_dir() else []
    settings = replace(
        settings,
        compat={**settings.compat, BACKEND: replace(own, options=options)},
        scene_folders=(*settings.scene_folders, *scenes),
    )
    models = {}
    if model_path:
        models[model_path.resolve().name] = _model(model_path, audio_tokenizer_path, device, max_new_tokens)
    keys = [api_key] if api_key else []
    serve_alone(session, BACKEND, host=host, port=port, models=models, api_keys=keys, settings=settings)


def _model(path: Path, codec: Path | None, device: str, max_new_tokens: int) -> ModelSettings:
    from hub.settings import ModelSettings

    options: dict[str, Any] = {"max_new_tokens": max_new_tokens}
    if codec is not None:
        options["codec"] = str(codec.absolute())
    return ModelSettings(backend=BACKEND, path=str(path.absolute()), device=device, options=options)


def _serve_and_reload() -> None:
    """Run the same command in a process of its own, and restart it whenever a source file changes."""
    import shlex

    import watchfiles

    import hub

    os.environ["TTSHUB_RELOADED"] = "1"
    command = [sys.executable, "-m", "hub", *sys.argv[1:]]
    folders = [Path(hub.__file__).parent, Path(__file__).parent]
    watchfiles.run_process(*folders, target=shlex.join(command), target_type="command")
