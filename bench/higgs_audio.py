"""Higgs Audio v2: the speed of the model itself, on random weights of the released width.

    python -m bench.higgs_audio --layers 4                      # fits beside other work on a CPU
    python -m bench.higgs_audio --layers 28 --device cuda       # the released size, bfloat16
    python -m bench.higgs_audio --layers 4 --official PATH      # the same weights in boson's own code

Every width is the release's (3072 wide, 24 heads, 8 codebooks of 1024, the whole codec); only the number of layers and
the text vocabulary, which an audio step does not use, are smaller. Random weights never end their noise, so each answer
has a fixed number of columns. Times are those of the worker's process, without hub or HTTP.

- prompt: positions per second of a prefill, with a reference of ten seconds.
- step: milliseconds of one column (40 ms of audio), including sampling.
- codec: seconds of work per second of audio.
- speaking: time to first audio, and work per second of audio (real-time factor), by streams at once.

`--official` needs an interpreter that can import boson's code (`--python`: transformers 4.46, torch, its other
requirements); it measures boson's own generate with the cache that its script uses without CUDA.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.table import show

ROOT = Path(__file__).parent.parent

FEW = 4
"""Columns of the shorter reply that is subtracted to measure a step, as for boson's code."""

TEXT = "The hub speaks, and every word of this sentence is heard by somebody who listens closely to it."


def main() -> None:
    """Measure, and print the tables."""
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    folder = Path(tempfile.mkdtemp(prefix="higgs"))
    try:
        write(folder, options)
        synthesizer, wave, config = load(folder, options)
        title = f"Higgs Audio v2, {options.layers} of 28 layers, {config}, {options.threads} threads"
        parts(title, synthesizer, wave, options)
        speaking(title, synthesizer, wave, options)
        if options.official:
            synthesizer.close()
            official(folder, options)
    finally:
        shutil.rmtree(folder)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--columns", type=int, default=60, help="columns of each answer")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--official", type=Path, help="a checkout of boson-ai/higgs-audio")
    parser.add_argument("--python", default=sys.executable, help="the interpreter for --official")
    return parser.parse_args()


def write(folder: Path, options: argparse.Namespace) -> None:
    """Write the checkpoint in boson's layout, so that boson's code loads it too."""
    import torch

    from plugins.higgs_audio.tests.support.tiny import RELEASE, write_codec, write_language

    size = replace(RELEASE, layers=options.layers, vocabulary=512)
    half = options.dtype == "bfloat16" or (options.dtype == "auto" and torch.cuda.is_available())
    write_language(folder / "language", size, dtype=torch.bfloat16 if half else torch.float32)
    write_codec(folder / "codec", size)


def load(folder: Path, options: argparse.Namespace) -> tuple[Any, Any, str]:
    """Return the synthesizer, a reference of ten seconds, and the device and dtype in words."""
    import torch
    from hub_higgs_audio.synthesizer import HiggsAudio

    from hub.contract import ModelConfig

    torch.set_num_threads(options.threads)
    synthesizer = HiggsAudio()
    load_options = {"max_new_tokens": options.columns, "streams": max(options.streams)}
    synthesizer.load(
        ModelConfig(
            name="higgs",
            path=str(folder),
            device=options.device,
            dtype=options.dtype,
            compile=options.compile,
            options=load_options,
        )
    )
    model = synthesizer._machinery.language
    wave = 0.3 * torch.sin(torch.arange(240_000) * 0.03)
    return synthesizer, wave, f"{model.device} {str(model.dtype).removeprefix('torch.')}"


def timed(work: Any, times: int = 3) -> float:
    """Return the seconds of the fastest of some runs."""
    import torch

    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def parts(title: str, synthesizer: Any, wave: Any, options: argparse.Namespace) -> None:
    """Measure prefill, step and codec, each alone."""
    import torch
    from hub_higgs_audio.generation import Generation, Limits, prefill
    from hub_higgs_audio.model.sampling import SamplingParams
    from hub_higgs_audio.prompt import Message, Speaker, opening_messages

    machinery = synthesizer._machinery
    language, tokenizer, codec = machinery.language, machinery.tokenizer, machinery.codec
    encoding = timed(lambda: codec.encode(wave), 1)
    codes = codec.encode(wave)
    messages = [*opening_messages(None, [Speaker(recordings=((codes, TEXT),))], []), Message("user", [TEXT])]
    prompt = machinery.prompts.build(messages, forced_audio=True)
    length = machinery.prompts.length(prompt)

    def run(columns: int) -> None:
        with machinery.sessions.lend(length + options.columns + 1) as session:
            params, limits = SamplingParams(temperature=0.1), Limits(columns)
            generation = Generation(language, tokenizer, session, params, limits, seed=0, stop=threading.Event())
            for _ in generation.run(prompt):
                pass

    def fill() -> None:
        with machinery.sessions.lend(length + 1) as session, torch.inference_mode():
            prefill(language, tokenizer, prompt, session)

    filling = timed(fill)
    few = FEW if options.columns > FEW else 1
    step = (timed(lambda: run(options.columns)) - timed(lambda: run(few))) / (options.columns - few)
    decoding = timed(lambda: codec.decode(codes[:, :45]))
    show(
        title,
        ("what", "result"),
        [
            ("prompt", f"{length / filling:.0f} positions/s ({length} in {filling:.2f} s)"),
            ("step", f"{1000 * step:.1f} ms, {1 / step:.1f} columns/s (25 are real time)"),
            ("codec, decoding a packet with its context", f"{decoding / (25 / 25):.2f} s a second of audio"),
            ("codec, encoding a reference", f"{encoding / 10:.2f} s a second of audio"),
        ],
    )


def speaking(title: str, synthesizer: Any, wave: Any, options: argparse.Namespace) -> None:
    """Measure whole streamed requests, several at once."""
    from hub.contract import AudioChunk, ResolvedRequest

    rows = []
    for streams in options.streams:
        firsts: list[float] = []
        seconds: list[float] = []

        def speak(number: int, firsts: list[float] = firsts, seconds: list[float] = seconds) -> None:
            request = ResolvedRequest(text=TEXT, seed=number, stream=True, options={"retry": False})
            begin = time.perf_counter()
            heard = []
            for event in synthesizer.speak(request, threading.Event()):
                if isinstance(event, AudioChunk):
                    heard.append((time.perf_counter() - begin, event.seconds))
            firsts.append(heard[0][0])
            seconds.append(sum(length for _, length in heard))

        begin = time.perf_counter()
        threads = [threading.Thread(target=speak, args=(number,)) for number in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - begin
        total = sum(seconds)
        rows.append(
            (streams, f"{max(firsts):.2f} s", f"{total:.1f} s", f"{wall / total:.2f}", f"{25 * total / wall:.1f}")
        )
    show(title + ": speaking", ("streams", "first audio, the last", "audio", "work a second", "columns/s in all"), rows)


def official(folder: Path, options: argparse.Namespace) -> None:
    """Measure boson's generate on the same language model, in its own interpreter."""
    command = [options.python, str(Path(__file__).parent / "higgs_official.py"), str(options.official)]
    command += [str(folder / "language"), str(options.columns), str(options.threads), options.device]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        print("boson's code does not run in this interpreter:\n" + result.stderr[-2000:], file=sys.stderr)
        return
    print(result.stdout)


if __name__ == "__main__":
    main()
