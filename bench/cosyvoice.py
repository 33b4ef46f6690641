"""CosyVoice2-0.5B in full size with random weights: language model, flow, vocoder, first chunk, real-time factor.

One utterance: `--text` text ids, with 2 s of prompt and its transcript, make twice as many speech tokens, 25 a second.
`LM` is the decoding loop with repetition-aware sampling, `flow` 10 Euler steps with guidance over prompt and target,
`vocoder` mel to samples, `whole` all three, and RTF the time of `whole` divided by that of the audio. `first chunk` is
the time to the first samples of a stream, its `RTF` that of the whole stream. Several streams are threads of one
process that speak at once; their RTF is the time until all have ended, divided by the audio of all, and `first chunk`
the median.

`--official PATH` also runs CosyVoice's own code in turns with the hub's: its repository at PATH, with the interpreter
`--python`, which needs its dependencies, with the same sizes, lengths and number of threads; it shows how many times
faster the hub is. Times are medians of `--rounds`. `--cpu-time` measures CPU time instead of wall-clock time, without
waiting, so that runs compare even on a machine with other work. The machine needs 8 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hub_cosyvoice.checkpoint.flow import build_flow
from hub_cosyvoice.checkpoint.flow import ready as flow_ready
from hub_cosyvoice.checkpoint.lm import read_sizes
from hub_cosyvoice.checkpoint.vocoder import build_vocoder
from hub_cosyvoice.checkpoint.vocoder import ready as vocoder_ready
from hub_cosyvoice.config import Config, read_config
from hub_cosyvoice.decoding.generate import LMInput, generate
from hub_cosyvoice.decoding.sampling import RasParameters, RasSampler
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.lm.qwen import QwenLM
from hub_cosyvoice.options import Scheme
from hub_cosyvoice.session import Sessions
from hub_cosyvoice.streaming import start_stream
from hub_cosyvoice.wave import TokenToWave

from bench.table import show
from hub.nn.layout import lay_out

HERE = Path(__file__).parent
SIZES = HERE / "cosyvoice_model"
BEFORE, PROMPT = 13, 50
"""Numbers of ids in the transcript, and of speech tokens in the prompt."""

WARM_UP = 8
"""Text ids of the first utterance, for warming up."""

Times = dict[str, float]
Clock = Callable[[], float]


class Model:
    """The hub's own modules with random weights."""

    def __init__(self, device: torch.device, dtype: torch.dtype, text: int, clock: Clock) -> None:
        torch.manual_seed(0)
        self.clock = clock
        self.config = read_config(SIZES)
        self.lm = _language_model(self.config, device, dtype)
        self.sessions = Sessions(self.lm)
        flow = flow_ready(build_flow(self.config), self.config, device, dtype)
        self.wave = TokenToWave(self.config, flow, vocoder_ready(build_vocoder(self.config), device), device)
        self.device = device
        self.prompt = AcousticPrompt(
            tokens=torch.randint(0, 6561, (PROMPT,)), mel=torch.randn(2 * PROMPT, 80), embedding=torch.randn(192)
        )
        self.say(text)

    def say(self, text: int) -> None:
        """Make the utterance one of `text` text ids."""
        self.count = 2 * text
        self.audio = self.count / self.config.token_rate
        self.given = LMInput(
            text=torch.randint(0, 150_000, (text,)).tolist(),
            before=torch.randint(0, 150_000, (BEFORE,)).tolist(),
            speech=self.prompt.tokens.tolist(),
        )

    def tokens(self, seed: int) -> Any:
        """Run the language model's loop, token by token."""
        sampler = RasSampler(RasParameters(), torch.Generator(self.device).manual_seed(seed))
        return generate(self.lm, self.sessions, self.given, sampler, most=self.count)

    def whole(self, seed: int = 0) -> Times:
        """Make one utterance as a whole."""
        begin = self.clock()
        tokens = list(self.tokens(seed))
        decoded = self.clock()
        with torch.inference_mode():
            mel = self.wave.mel(tokens, self.prompt, torch.Generator().manual_seed(seed))
            self._settle()
            flowed = self.clock()
            self.wave.sound(mel, torch.Generator().manual_seed(seed)).cpu()
        end = self.clock()
        return {"lm": decoded - begin, "flow": flowed - decoded, "vocoder": end - flowed, "whole": end - begin}

    def stream(self, scheme: Scheme, seed: int = 0) -> Times:
        """Make one utterance in chunks."""
        begin, first = self.clock(), 0.0
        stream = start_stream(self.wave, self.prompt, generator=torch.Generator().manual_seed(seed), scheme=scheme)
        for token in self.tokens(seed):
            if len(stream.feed([token])) and not first:
                first = self.clock() - begin
        stream.finish()
        return {"first": first, "stream": self.clock() - begin}

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _language_model(config: Config, device: torch.device, dtype: torch.dtype) -> QwenLM:
    sizes = read_sizes(SIZES / "CosyVoice-BlankEN" / "config.json")
    lm = QwenLM(sizes, generation=2, texts=151_936, speech_tokens=6561, vocabulary=6564)
    for weights in lm.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.02)
    lm = lm.to(device=device, dtype=dtype).requires_grad_(False).eval()
    lay_out(lm, device)
    return lm


class Official:
    """CosyVoice's own code in its own process, which measures one round on request."""

    def __init__(self, folder: Path, python: str, threads: int, device: str, text: int, cpu: bool) -> None:
        numbers = [str(number) for number in (threads, text, BEFORE, PROMPT, WARM_UP, int(cpu))]
        arguments = [python, str(HERE / "cosyvoice_official.py"), str(folder), device, *numbers]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def round(self, what: str) -> Times:
        """Return the times of `whole` or `stream`."""
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Times:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # the code prints lines of its own
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit("the official code ended; its output is above")


def at_once(clock: Clock, count: int, work: Callable[[int], Times]) -> tuple[float, list[Times]]:
    """Run `work` in `count` threads; return the seconds until all have ended, and their results."""
    found: list[Times] = []
    threads = [threading.Thread(target=lambda seed=seed: found.append(work(seed))) for seed in range(count)]
    begin = clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clock() - begin, found


def measure(model: Model, official: Official | None, rounds: int) -> None:
    """Measure one utterance, with both codes in turns, and print the table."""
    ours: list[Times] = []
    theirs: list[Times] = []
    for _ in range(rounds):
        found = model.whole()
        consistent = model.stream("consistent")
        found |= {"first": consistent["first"], "stream": consistent["stream"]}
        same = model.stream("official")
        found |= {"first_same": same["first"], "stream_same": same["stream"]}
        other = official.round("whole") | official.round("stream") if official else {}
        ours.append(found)
        theirs.append(other)
    rows = []
    for name, key, against in (
        ("LM, tokens/s", "lm", "lm"),
        ("flow, s", "flow", "flow"),
        ("vocoder, s", "vocoder", "vocoder"),
        ("whole, RTF", "whole", "whole"),
        ("first chunk, consistent, s", "first", "first"),
        ("stream, consistent, RTF", "stream", "stream"),
        ("first chunk, official scheme, s", "first_same", "first"),
        ("stream, official scheme, RTF", "stream_same", "stream"),
    ):
        own = statistics.median(one[key] for one in ours)
        row = [name, _shown(name, own, model)]
        if official:
            other = statistics.median(one[against] for one in theirs)
            row += [_shown(name, other, model), f"{other / own:.2f}x"]
        rows.append(row)
    head = [f"{model.count} tokens, {model.audio:.1f} s", "hub"] + (["official", "faster"] if official else [])
    show("CosyVoice2-0.5B, one utterance", head, rows)


def _shown(name: str, seconds: float, model: Model) -> str:
    if name.endswith("tokens/s"):
        return f"{model.count / seconds:.1f}"
    return f"{seconds / model.audio:.2f}" if name.endswith("RTF") else f"{seconds:.2f}"


def measure_streams(model: Model, counts: list[int]) -> None:
    """Measure several streams at once, and print the table."""
    rows = []
    for count in counts:
        seconds, found = at_once(model.clock, count, lambda seed: model.stream("consistent", seed))
        first = statistics.median(one["first"] for one in found)
        rows.append([count, f"{first:.2f}", f"{seconds / (count * model.audio):.2f}"])
    show("CosyVoice2-0.5B, streams at once", ["streams", "first chunk, s", "RTF of all"], rows)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text", type=int, default=75, help="text ids")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--official", type=Path, help="CosyVoice's repository")
    parser.add_argument("--python", default="python3", help="an interpreter that can import it")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    official = None
    if given.official:
        official = Official(given.official, given.python, given.threads, given.device, given.text, given.cpu_time)
    half = torch.bfloat16 if given.device != "cpu" else torch.float32
    model = Model(torch.device(given.device), half, WARM_UP, time.process_time if given.cpu_time else time.perf_counter)
    model.whole()
    model.say(given.text)
    measure(model, official, given.rounds)
    if official:
        official.close()
    measure_streams(model, given.streams)


if __name__ == "__main__":
    main()
