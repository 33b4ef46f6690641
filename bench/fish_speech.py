"""Fish Speech: OpenAudio S1 mini in full size with random weights, on this machine's CPU or GPU.

The backend's own class speaks a text like a 5 s recording, without the hub, for `--frames` frames of codes (46 ms of
audio each; random weights never end by themselves). A round is one request, then, for each further number of
`--streams`, that many at once. First audio is the time to the first chunk; frames are counted until the last. Memory is
this process's, minus its memory before loading: at rest, and at most while it speaks.

`--official PATH` also runs the vendor's code, from a checkout of its S1 era, on the same weights in the same process,
in turns with the hub's code round by round, in the same precision. It takes one request at a time, and its audio comes
when all codes are ready. The second table splits both into the language model (including the prompt) and the codec, and
gives CPU time beside wall-clock time: with `--threads 1` CPU time is close to the time on a machine without other work.
`--compile` compiles both (the vendor's way on a GPU). Cells are medians of the rounds.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import soundfile
import torch
from hub_fish_speech.prompt import Example
from hub_fish_speech.sampling import Draws
from hub_fish_speech.session import RequestNoise
from hub_fish_speech.synthesizer import FishSpeech
from hub_fish_speech.voices import read_wave

from bench.fish_official import Official
from bench.fish_weights import write_s1_mini
from bench.table import show
from hub.contract import AudioChunk, ModelConfig, Reference, ResolvedRequest, Sampling

TEXT = "The speaker reads this sentence aloud, and the whole of it is one segment."
TRANSCRIPT = "And this is what was said in the recording that gives the voice."
SECONDS_OF_REFERENCE = 5.0


class Never:
    """A stop flag that is never set."""

    def is_set(self) -> bool:
        """False."""
        return False


class Spoken(NamedTuple):
    """One request: seconds to the first chunk and to the last, and frames of audio."""

    first: float
    total: float
    frames: float


class Together(NamedTuple):
    """Requests at once, and the CPU seconds of all of them."""

    requests: list[Spoken]
    cpu: float

    @property
    def frames(self) -> float:
        """The frames of all requests."""
        return sum(each.frames for each in self.requests)

    @property
    def rate(self) -> float:
        """Frames per second, until the last request has ended."""
        return self.frames / max(each.total for each in self.requests)


class Parts(NamedTuple):
    """Seconds of the language model and of the codec, wall-clock and CPU, for a number of frames."""

    language: float
    codec: float
    language_cpu: float
    codec_cpu: float
    frames: int


class Clock:
    """Measures the seconds of a block: wall-clock time, and CPU time of all threads of the process."""

    def __enter__(self) -> Clock:
        """Start."""
        self._begun = time.perf_counter(), time.process_time()
        self.seconds = self.cpu = 0.0
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._begun[0]
        self.cpu = time.process_time() - self._begun[1]


class Ours:
    """The hub's backend, loaded as its worker loads it."""

    def __init__(self, checkpoint: Path, args: argparse.Namespace) -> None:
        self.backend = FishSpeech()
        options = {"concurrency": max(args.streams), "threads": args.threads}
        self.backend.load(
            ModelConfig(
                name="s1-mini",
                path=str(checkpoint),
                device=args.device,
                dtype=args.dtype,
                compile=args.compile,
                options=options,
            )
        )
        self.frames: int = args.frames
        self.wav = recording()
        self.spoken(0, frames=2)  # keeps the reference's codes, and a GPU's graphs

    def spoken(self, seed: int, frames: int = 0) -> Spoken:
        """Speak one request, to its end."""
        request = ResolvedRequest(
            text=TEXT,
            references=(Reference(audio=self.wav, text=TRANSCRIPT),),
            seed=seed,
            sampling=Sampling(max_new_tokens=frames or self.frames),
            options={"length_cap": 0},
        )
        begun, first, samples = time.perf_counter(), 0.0, 0
        for event in self.backend.speak(request, Never()):
            if isinstance(event, AudioChunk):
                first = first or time.perf_counter() - begun
                samples += len(event.pcm) // 4
        return Spoken(first, time.perf_counter() - begun, samples / self.backend.machinery.codec.frame)

    def at_once(self, count: int) -> Together:
        """Speak `count` requests at once."""
        found: list[Spoken] = []
        threads = [threading.Thread(target=lambda seed=seed: found.append(self.spoken(seed))) for seed in range(count)]
        with Clock() as clock:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return Together(found, clock.cpu)

    def example(self) -> Example:
        """Return the reference in the form that both codes read."""
        codec = self.backend.machinery.codec
        return Example(TRANSCRIPT, codec.encode(read_wave(self.wav, codec.sample_rate)))

    def parts(self, example: Example) -> Parts:
        """Time the language model's frames, and then the codec on them."""
        machinery = self.backend.machinery
        prompt = machinery.prompter.prompt(TEXT, [example], [], max_length=machinery.language.positions)
        draws = Draws.of(Sampling(), machinery.variant)
        generator = torch.Generator(machinery.device).manual_seed(0)
        positions = prompt.shape[1] + self.frames
        with Clock() as language, self.backend.sessions.lend(positions) as session:
            frames = torch.cat(list(session.frames(prompt, draws, RequestNoise(generator), self.frames)), 1)
        with Clock() as codec:
            machinery.codec.decode(machinery.prompter.codes(frames[:, :-1]))
        return Parts(language.seconds, codec.seconds, language.cpu, codec.cpu, frames.shape[1] - 1)


def recording() -> bytes:
    """Return noise that swells like speech, as a WAV."""
    rate = 44_100
    length = round(SECONDS_OF_REFERENCE * rate)
    noise = np.random.default_rng(0).standard_normal(length) * np.sin(np.linspace(0, 60, length)) * 0.1
    file = io.BytesIO()
    soundfile.write(file, noise.astype(np.float32), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


class Memory:
    """The memory of this process and of its GPU tensors, minus the memory at the beginning."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._rss()
        self.most = 0

    def _rss(self) -> int:
        gc.collect()
        return int(self._process.memory_info().rss)

    def now(self) -> str:
        """Return the memory of the host, and of the GPU if there is one."""
        return _bytes(self._rss() - self._before, torch.cuda.memory_allocated() if torch.cuda.is_available() else 0)

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Put the most memory used within the block into the list, at its end."""
        found: list[str] = []
        done = threading.Event()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

        def watch() -> None:
            while not done.wait(0.05):
                self.most = max(self.most, self._process.memory_info().rss - self._before)

        self.most = 0
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield found
        finally:
            done.set()
            thread.join()
            found.append(_bytes(self.most, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0))


def _bytes(host: int, gpu: int) -> str:
    return f"{host / 1e9:.1f} GB" + (f" + {gpu / 1e9:.1f} GB GPU" if gpu else "")


def official_parts(official: Official, example: Example, frames: int) -> Parts:
    """Time the same parts as `Ours.parts`, with the vendor's code."""
    with Clock() as language:
        codes = official.codes(TEXT, (example.text, example.codes), frames)
    with Clock() as codec:
        official.sound(codes)
    return Parts(language.seconds, codec.seconds, language.cpu, codec.cpu, codes.shape[1])


def middle(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def measure(args: argparse.Namespace, checkpoint: Path) -> None:
    """Run the rounds and print the tables."""
    memory = Memory()
    ours = Ours(checkpoint, args)
    rest = memory.now()
    example = ours.example()
    spoken: dict[int, list[Together]] = {}
    most: dict[int, str] = {}
    for count in args.streams:
        with memory.watched() as found:
            spoken[count] = [ours.at_once(count)]
        most[count] = found[0]
    theirs: list[Parts] = []
    their_memory = Memory()
    official = None
    if args.official is not None:
        dtype = ours.backend.machinery.language.model.dtype
        device = ours.backend.device
        official = Official(args.official, checkpoint, device, dtype, compiled=args.compile)
        official_parts(official, example, 2)
    parts = [ours.parts(example)]
    their_rest = their_memory.now()
    their_most = their_rest
    for number in range(args.rounds):
        if official is not None:
            with their_memory.watched() as found:
                theirs.append(official_parts(official, example, args.frames))
            their_most = found[0]
        if number:
            parts.append(ours.parts(example))
            for count in args.streams:
                spoken[count].append(ours.at_once(count))
    print_requests(args, spoken, rest, most, theirs, (their_rest, their_most))
    print_parts(parts, theirs)


def print_requests(
    args: argparse.Namespace,
    spoken: dict[int, list[Together]],
    rest: str,
    most: dict[int, str],
    theirs: list[Parts],
    memory: tuple[str, str],
) -> None:
    """Print the table of requests."""
    rows = []
    one = 0.0
    for count, rounds in spoken.items():
        rate = middle([found.rate for found in rounds])
        first = middle([each.first for found in rounds for each in found.requests])
        cpu = f"{middle([1000 * found.cpu / found.frames for found in rounds]):.0f} ms"
        one = one or rate
        rows.append(["hub", count, f"{rate:.2f}", f"{rate / count:.2f}", cpu, f"{first:.2f} s", rest, most[count]])
    if theirs:
        whole = middle([each.language + each.codec for each in theirs])
        rate = middle([each.frames / (each.language + each.codec) for each in theirs])
        cpu = f"{middle([1000 * (each.language_cpu + each.codec_cpu) / each.frames for each in theirs]):.0f} ms"
        rows.append(["vendor", 1, f"{rate:.2f}", f"{rate:.2f}", cpu, f"{whole:.2f} s", *memory])
        rows.append(["ratio", 1, f"{one / rate:.2f}", "", "", "", "", ""])
    head = [
        "code",
        "requests at once",
        "frames/s",
        "of each",
        "CPU a frame",
        "first audio",
        "memory at rest",
        "at most",
    ]
    show(
        f"S1 mini, {args.frames} frames, rounds: {args.rounds}, threads of torch: {torch.get_num_threads()}", head, rows
    )


def print_parts(parts: list[Parts], theirs: list[Parts]) -> None:
    """Print the table of parts."""
    rows = []
    names = {
        "language": "language model",
        "language_cpu": "the same, CPU",
        "codec": "codec",
        "codec_cpu": "the same, CPU",
    }
    for name, title in names.items():
        mine = middle([1000 * getattr(each, name) / each.frames for each in parts])
        row = [title, f"{mine:.0f} ms"]
        if theirs:
            other = middle([1000 * getattr(each, name) / each.frames for each in theirs])
            row += [f"{other:.0f} ms", f"{other / mine:.2f}"]
        rows.append(row)
    show("Time of a frame, by part", ["part", "hub", *(["vendor", "ratio"] if theirs else [])], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 2, 4], help="requests at once")
    parser.add_argument("--frames", type=int, default=64, help="frames of each request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: its own choice")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--official", type=Path, metavar="PATH", help="a checkout of the vendor's code of the S1 era")
    parser.add_argument("--checkpoint", type=Path, help="where to keep the weights; default: a folder that is deleted")
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as folder:
        measure(args, write_s1_mini(args.checkpoint or Path(folder)))


if __name__ == "__main__":
    main()
