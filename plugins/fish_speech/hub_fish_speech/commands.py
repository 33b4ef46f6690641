"""`ttshub fish`: the vendor's server and command line, on the hub. Modules that need torch are imported inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from hub.cli.failure import Failed
from hub.cli.session import Session, session_options
from hub_fish_speech.capabilities import BACKEND

if TYPE_CHECKING:
    from hub.settings import CompatSettings, ModelSettings, Settings

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
EXISTING = click.Path(exists=True, path_type=Path)

DEFAULT_CHECKPOINT = Path("checkpoints/openaudio-s1-mini")
"""The default folder of the vendor's server."""

Function = TypeVar("Function", bound=Callable[..., object])


@click.group()
def fish() -> None:
    """Fish Speech: its own server, and its three steps by hand."""


def step_options(command: Function) -> Function:
    """Add the options that all three steps have: the model, and its device."""
    path = click.option(
        "--checkpoint-path",
        type=EXISTING,
        help="Folder of the checkpoint [default: that of the configured model]",
    )
    device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps")
    return session_options(path(device(command)))


@fish.command()
@click.argument("recording", type=FILE)
@click.option("-o", "--output", type=NEW_FILE, default="fake.npy", show_default=True, help="File for the codes")
@step_options
@click.pass_obj
def encode(session: Session, recording: Path, output: Path, checkpoint_path: Path | None, device: str) -> None:
    """Turn a recording into codes: the first step of cloning a voice."""
    import numpy as np

    from hub.audio.decode import decode as decode_audio
    from hub.audio.decode import to_wav_f32
    from hub_fish_speech.offline import Sound

    audio = to_wav_f32(decode_audio(recording.read_bytes()))
    codes = Sound(_checkpoint(session, checkpoint_path), device).encode(audio)
    _write(output.with_suffix(".npy"), partial(np.save, arr=codes))
    click.echo(f"{output.with_suffix('.npy')}: {codes.shape[0]} codebooks, {codes.shape[1]} frames")


@fish.command()
@click.option("--text", required=True, help="Text to say")
@click.option("--prompt-text", multiple=True, help="Transcript of a prompt; may be repeated")
@click.option("--prompt-tokens", multiple=True, type=FILE, help="Codes of that prompt, from `encode`")
@click.option(
    "-o", "--output", type=NEW_FILE, help="File for the codes; with several samples NAME_0.npy, NAME_1.npy, ..."
)
@click.option(
    "--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder for codes_0.npy, codes_1.npy"
)
@click.option("--num-samples", type=click.IntRange(1, 1000), default=1, show_default=True, help="Times to say it")
@click.option("--max-new-tokens", type=click.IntRange(0), default=0, help="Frames at most; 0: as the text needs")
@click.option("--top-p", type=click.FloatRange(0, 1), help="[default: the model's own]")
@click.option("--repetition-penalty", type=click.FloatRange(0.1, 10), help="[default: the model's own]")
@click.option("--temperature", type=click.FloatRange(0, 5), help="[default: the model's own]")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Of the first sample")
@click.option("--chunk-length", type=click.IntRange(1), help="Bytes of text that are spoken in one go")
@click.option("--half/--no-half", default=False, help="Use float16, for GPUs without bfloat16")
@click.option("--compile/--no-compile", default=False, help="Compile the model: a slower start, faster speech")
@step_options
@click.pass_obj
def semantic(
    session: Session,
    /,
    text: str,
    prompt_text: tuple[str, ...],
    prompt_tokens: tuple[Path, ...],
    output: Path | None,
    output_dir: Path | None,
    num_samples: int,
    seed: int,
    chunk_length: int | None,
    half: bool,
    compile: bool,
    checkpoint_path: Path | None,
    device: str,
    **sampling: Any,
) -> None:
    """Turn a text into codes, in the voice of the prompts."""
    import numpy as np

    from hub.contract.speech import Sampling
    from hub_fish_speech.offline import Semantics, read_codes

    if len(prompt_text) != len(prompt_tokens):
        raise click.UsageError(
            f"there are {len(prompt_text)} --prompt-text and {len(prompt_tokens)} --prompt-tokens: give as many"
        )
    prompts = [(said, read_codes(path)) for said, path in zip(prompt_text, prompt_tokens, strict=True)]
    folder = _checkpoint(session, checkpoint_path)
    model = Semantics(folder, device, dtype="float16" if half else "auto", compiled=compile)
    asked = Sampling(**sampling)
    for number in range(num_samples):
        codes = model.codes(text, prompts, seed=seed + number, sampling=asked, chunk_length=chunk_length)
        path = _sample_path(output, output_dir, number, num_samples)
        _write(path, partial(np.save, arr=codes))
        click.echo(f"{path}: {codes.shape[0]} codebooks, {codes.shape[1]} frames")


@fish.command()
@click.argument("codes", type=FILE)
@click.option(
    "-o", "--output", type=NEW_FILE, default="fake.wav", show_default=True, help="wav, flac, mp3, opus, aac, pcm"
)
@step_options
@click.pass_obj
def decode(session: Session, codes: Path, output: Path, checkpoint_path: Path | None, device: str) -> None:
    """Turn codes into sound."""
    from hub.audio.encode import check_format, encode_whole
    from hub.contract.speech import AudioFormat
    from hub_fish_speech.offline import Sound, read_codes

    format = AudioFormat(container=output.suffix[1:].lower() or "wav")
    check_format(format)
    found = read_codes(codes)
    sound = Sound(_checkpoint(session, checkpoint_path), device)
    samples = sound.decode(found)
    _write(output, lambda path: path.write_bytes(encode_whole(format, sound.sample_rate, samples)))
    click.echo(f"{output}: {len(samples) / sound.sample_rate:.1f} s")


@fish.command()
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Address and port; [ADDRESS]:PORT for IPv6")
@click.option(
    "--llama-checkpoint-path", type=EXISTING, help=f"Folder of the checkpoint [default: {DEFAULT_CHECKPOINT}]"
)
@click.option("--decoder-checkpoint-path", type=EXISTING, help="File of the codec [default: beside the language model]")
@click.option("--decoder-config-name", help="Accepted, but not needed: the file of the codec shows its kind")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps")
@click.option("--half", is_flag=True, help="Use float16, for GPUs without bfloat16")
@click.option("--compile", is_flag=True, help="Compile the model: a slower start, faster speech")
@click.option(
    "--max-text-length", type=click.IntRange(0), default=0, help="Most characters of a text; 0: the hub's own limit"
)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Requests spoken at once, at least"
)
@click.option("--api-key", help="Key that callers must send [default: none]")
@click.option(
    "--references", type=click.Path(path_type=Path), default="references", show_default=True, help="Folder of voices"
)
@click.option("--mode", type=click.Choice(["tts"]), default="tts", hidden=True)
@session_options
@click.pass_obj
def serve(
    session: Session,
    listen: str,
    llama_checkpoint_path: Path | None,
    decoder_checkpoint_path: Path | None,
    decoder_config_name: str | None,
    device: str,
    half: bool,
    compile: bool,
    max_text_length: int,
    workers: int,
    api_key: str | None,
    references: Path,
    mode: str,
) -> None:
    """Serve Fish Speech's own API alone, with the flags of its own server.

    Without a checkpoint it serves the models of hub.toml. A folder `references` of
    voices is served as it is.
    """
    from hub.cli.serve_alone import serve_alone

    host, port = _address(listen)
    settings = session.settings()
    options = {"max_text_length": max_text_length} if max_text_length else {}
    settings = replace(settings, compat={**settings.compat, BACKEND: _with_options(settings, options)})
    if references.is_dir():
        settings = replace(settings, voice_folders=(*settings.voice_folders, str(references.absolute())))
    path = llama_checkpoint_path
    if path is None and DEFAULT_CHECKPOINT.is_dir() and not settings.models:
        path = DEFAULT_CHECKPOINT
    models: dict[str, ModelSettings] = {}
    if path is not None:
        models[path.resolve().name] = _model(path, decoder_checkpoint_path, device, half, compile, workers)
    elif decoder_checkpoint_path or half or compile or device != "auto" or workers > 1:
        raise click.UsageError("without --llama-checkpoint-path the models of hub.toml are served, as hub.toml says")
    keys = [api_key] if api_key else []
    serve_alone(session, BACKEND, host=host, port=port, models=models, api_keys=keys, settings=settings)


def _model(path: Path, codec: Path | None, device: str, half: bool, compile: bool, workers: int) -> ModelSettings:
    from hub.settings import ModelSettings

    options: dict[str, object] = {"codec": str(codec.absolute())} if codec else {}
    if workers > 1:
        options["concurrency"] = workers
    return ModelSettings(
        backend=BACKEND,
        path=str(path.absolute()),
        device=device,
        dtype="float16" if half else "auto",
        compile=compile,
        options=options,
    )


def _with_options(settings: Settings, options: dict[str, int]) -> CompatSettings:
    from hub.settings import CompatSettings

    known = settings.compat.get(BACKEND, CompatSettings())
    return replace(known, options={**known.options, **options})


def _address(listen: str) -> tuple[str, int]:
    """`127.0.0.1:8080` or `[::1]:8080`. Raises UsageError."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})", listen)
    if found is None or int(found[3]) > 65535:
        raise click.UsageError(f"--listen {listen!r} is not an address and port, such as 127.0.0.1:8080 or [::1]:8080")
    return found[1] or found[2], int(found[3])


def _checkpoint(session: Session, given: Path | None) -> Path:
    """The `given` checkpoint, else that of the configured model, else the vendor's usual one. Raises Failed."""
    if given is not None:
        return given
    settings = session.settings()
    own = {name: model for name, model in settings.models.items() if model.backend == BACKEND and model.path}
    if own:
        return Path(own.get(settings.default_model, next(iter(own.values()))).path)
    if DEFAULT_CHECKPOINT.is_dir():
        return DEFAULT_CHECKPOINT
    hint = f'add [models.NAME] with backend = "{BACKEND}" to hub.toml, or name --checkpoint-path'
    raise Failed("no_checkpoint", "there is no checkpoint of Fish Speech", hint)


def _sample_path(output: Path | None, folder: Path | None, number: int, samples: int) -> Path:
    if output is None:
        return (folder or Path()) / f"codes_{number}.npy"
    base = (folder / output.name) if folder else output
    return base.with_suffix(".npy") if samples == 1 else base.with_name(f"{base.stem}_{number}.npy")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write the file. Raises Failed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        raise Failed("not_written", f"{path} cannot be written: {error.strerror}") from None
