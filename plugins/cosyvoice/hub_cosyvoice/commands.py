"""`ttshub cosyvoice`: CosyVoice's own server and client, with their flags."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePath

import click

from hub.cli.session import Session
from hub_cosyvoice.capabilities import BACKEND

SERVER = "iic/CosyVoice-300M"
"""The default model of the documented server."""

GREETING = "你好，我是通义千问语音合成大模型，请问有什么可以帮您的吗？"

MODES = ("sft", "zero_shot", "cross_lingual", "instruct", "instruct2")


def add_commands(cli: click.Group) -> None:
    """Add `cosyvoice` to the command line."""
    cli.add_command(cosyvoice)


@click.group()
def cosyvoice() -> None:
    """CosyVoice: its own server and its own client."""


@cosyvoice.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", default=50000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen at.")
@click.option("--model_dir", "--model-dir", default=SERVER, show_default=True, help="A folder, or a repository's id.")
@click.option("--gpu", type=click.IntRange(min=0), help="Number of the GPU; default: the first, or the CPU.")
@click.pass_obj
def serve(session: Session, host: str, port: int, model_dir: str, gpu: int | None) -> None:
    """Serve one checkpoint with CosyVoice's own HTTP API, and nothing else."""
    from hub.cli.serve_alone import serve_alone
    from hub.settings import ModelSettings

    device = "auto"
    if gpu is not None:
        device = f"cuda:{gpu}"
        if (count := _gpus()) <= gpu:
            click.echo(
                f"there is no GPU {gpu} here (CUDA has {count}): CosyVoice runs on the CPU, which is slow", err=True
            )
            device = "cpu"
    path = str(Path(model_dir).expanduser().absolute()) if Path(model_dir).expanduser().exists() else model_dir
    name = PurePath(model_dir).name or BACKEND
    models = {name: ModelSettings(backend=BACKEND, path=path, device=device)}
    serve_alone(session, BACKEND, host=host, port=port, models=models)


@cosyvoice.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="The server's address.")
@click.option("--port", default=50000, show_default=True, type=click.IntRange(1, 65535), help="The server's port.")
@click.option("--mode", default="sft", show_default=True, type=click.Choice(MODES), help="Endpoint to call.")
@click.option("--tts_text", "--tts-text", default=GREETING, show_default=True, help="Text to speak.")
@click.option(
    "--spk_id", "--spk-id", default="中文女", show_default=True, help="A speaker of the model: sft, instruct."
)
@click.option("--prompt_text", "--prompt-text", default="", help="Transcript of the recording: zero_shot.")
@click.option("--prompt_wav", "--prompt-wav", type=click.Path(exists=True, dir_okay=False), help="The recording.")
@click.option("--instruct_text", "--instruct-text", default="", help="How to say it: instruct, instruct2.")
@click.option("--tts_wav", "--tts-wav", default="demo.wav", show_default=True, help="Where to write the audio.")
def client(
    host: str,
    port: int,
    mode: str,
    tts_text: str,
    spk_id: str,
    prompt_text: str,
    prompt_wav: str | None,
    instruct_text: str,
    tts_wav: str,
) -> None:
    """Have a server with CosyVoice's HTTP API speak, and write a WAV file with the right rate."""
    from hub_cosyvoice.client import fetch

    fields = {"tts_text": tts_text}
    if mode in ("sft", "instruct"):
        fields["spk_id"] = spk_id
    if mode == "zero_shot":
        fields["prompt_text"] = _needed(prompt_text, "--prompt_text", mode)
    if mode in ("instruct", "instruct2"):
        fields["instruct_text"] = _needed(instruct_text, "--instruct_text", mode)
    recording = None
    if mode in ("zero_shot", "cross_lingual", "instruct2"):
        recording = Path(_needed(prompt_wav or "", "--prompt_wav", mode)).read_bytes()
    seconds, rate = fetch(f"http://{host}:{port}/inference_{mode}", fields, recording, Path(tts_wav))
    click.echo(f"{tts_wav}: {seconds:.2f} s at {rate} Hz")


def _needed(value: str, flag: str, mode: str) -> str:
    if not value:
        raise click.UsageError(f"mode {mode} needs {flag}")
    return value


def _gpus() -> int:
    """The number of GPUs that torch finds, counted in another process, so that this one need not import torch."""
    code = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    words = found.stdout.split()
    return int(words[-1]) if found.returncode == 0 and words and words[-1].isdigit() else 0
