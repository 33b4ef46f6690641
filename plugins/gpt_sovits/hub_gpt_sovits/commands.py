"""`ttshub gpt-sovits`: the family's own server, on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from hub.cli.failure import Failed
from hub.cli.session import Session, session_options
from hub_gpt_sovits.capabilities import BACKEND

if TYPE_CHECKING:
    from hub.contract.backend import Dtype
    from hub.settings import ModelSettings

EVERYWHERE = "0.0.0.0"


@click.group("gpt-sovits")
def gpt_sovits() -> None:
    """GPT-SoVITS: its own server."""


@gpt_sovits.command()
@click.option("-a", "--bind-addr", "address", default="127.0.0.1", show_default=True, help="None: every address")
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=9880, show_default=True, help="0: any free one")
@click.option(
    "-c",
    "--tts-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="tts_infer.yaml, whose section `custom` names device, version and weights",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Folder that the yaml's paths start from [default: the current one]",
)
@click.option(
    "--references",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Folder with recordings that requests may name [default: --root]",
)
@click.option("--api-key", help="Key that callers must send")
@session_options
@click.pass_obj
def serve(
    session: Session,
    address: str,
    port: int,
    tts_config: Path | None,
    root: Path,
    references: tuple[Path, ...],
    api_key: str | None,
) -> None:
    """Serve GPT-SoVITS' own API alone, with the flags and the yaml of its own server.

    Without a yaml the models of hub.toml are served.
    """
    from hub.cli.serve_alone import serve_alone
    from hub.settings import CompatSettings

    settings = session.settings()
    models = {BACKEND: model_of(tts_config, root.absolute())} if tts_config is not None else {}
    own = settings.compat.get(BACKEND, CompatSettings())
    roots = [str(folder.absolute()) for folder in references or (root,)]
    known = own.options.get("roots", ()) if references or tts_config is None else ()
    options = {**own.options, "roots": [*known, *(roots if tts_config is not None or references else ())]}
    settings = replace(settings, compat={**settings.compat, BACKEND: replace(own, options=options)})
    host = EVERYWHERE if address.lower() == "none" else address
    keys = [api_key] if api_key else []
    serve_alone(session, BACKEND, host=host, port=port, models=models, api_keys=keys, settings=settings)


def model_of(config: Path, root: Path) -> ModelSettings:
    """The section `custom` of a tts_infer.yaml as a model. Raises Failed."""
    from hub.settings import ModelSettings

    custom = _custom(config)
    device = str(custom.get("device") or "auto")
    half = custom.get("is_half")
    dtype: Dtype = "auto" if half is None or device in ("cpu", "auto") else "float16" if half else "float32"
    names = {
        "version": "version", "t2s_weights_path": "gpt", "vits_weights_path": "sovits", "bert_base_path": "bert",
        "cnhuhbert_base_path": "hubert",
    }  # fmt: skip
    options: dict[str, Any] = {ours: str(custom[theirs]) for theirs, ours in names.items() if custom.get(theirs)}
    return ModelSettings(backend=BACKEND, path=str(root), device=device, dtype=dtype, options=options)


def _custom(config: Path) -> dict[str, Any]:
    import yaml

    hint = "it is the file that GPT-SoVITS' api_v2.py takes with -c"
    try:
        read = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "it is not YAML"
        raise Failed("bad_config", f"{config} cannot be read: {reason}", hint) from None
    custom = read.get("custom") if isinstance(read, dict) else None
    if not isinstance(custom, dict):
        raise Failed("bad_config", f"{config} has no section `custom`", hint)
    return custom
