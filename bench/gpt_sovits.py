"""GPT-SoVITS at full size with random weights: the speed of S1, the time of S2, and the time to the first chunk.

    python -m bench.gpt_sovits                                   # v2 and v2Pro on the CPU
    python -m bench.gpt_sovits --official ../GPT-SoVITS          # also the family's own code, in turns with ours

One segment at batch 1: 5 s of reference, `--phones` phones, `--tokens` semantic tokens (25 a second of speech). Random
weights take as long as trained ones; the end token of S1 is made impossible, so that both write the same number of
tokens. Both leave out the text front end. The reference is prepared in advance; the time for that has its own column.
RTF is (S1 + S2) / seconds of audio. Values are medians of `--rounds`; ours and theirs run in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hub_gpt_sovits.decoding import Choice, GeneratorDraws, Row, decode
from hub_gpt_sovits.features import style_spectrogram
from hub_gpt_sovits.layout import PRETRAINED, SPEAKER
from hub_gpt_sovits.machinery import Machinery, Pair
from hub_gpt_sovits.model.vits import Vits
from hub_gpt_sovits.options import GptSovitsLoadOptions
from hub_gpt_sovits.rendering import Manner, Utterance, render
from hub_gpt_sovits.streaming import ChunkDecoder, StreamRules, joined_chunks, token_chunks
from hub_gpt_sovits.voices import ClonedVoice, MainReference, Phrase
from torch import Tensor

from bench.gpt_sovits_official import Official
from bench.table import show
from plugins.gpt_sovits.tests.support.release import write_release
from plugins.gpt_sovits.tests.support.tiny import wav_of
from plugins.gpt_sovits.tests.support.weights import FULL

TOKEN_SECONDS = 0.04
CHUNK = 16


@dataclass(frozen=True)
class Work:
    """One segment, and the reference to speak like."""

    voice: ClonedVoice
    phones: Tensor
    joined: Row
    spec: Tensor
    wave16k: Tensor

    @property
    def prompt(self) -> Tensor:
        """The tokens of the reference."""
        return self.voice.sound.codes


class Ours:
    """This plugin's networks."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def tokens(self, work: Work, limit: int) -> Tensor:
        """S1."""
        draws, last = GeneratorDraws(torch.Generator().manual_seed(1)), []
        model = self.pair.semantics.model
        for last in decode(model, self.pair.semantics.sessions, [work.joined], work.prompt, Choice(), draws):
            if len(last[0].new) > limit:
                break
        return torch.tensor(last[0].new[:limit])

    def sound(self, work: Work, tokens: Tensor) -> Tensor:
        """S2."""
        return render(self.pair.acoustics, work.voice, [Utterance(tokens, work.phones)], Manner(), torch.randn)[0]

    def first_chunk(self, work: Work) -> Tensor:
        """Run from S1's first step to the first chunk of audio."""
        rules, model = StreamRules(chunk=CHUNK), self.pair.acoustics.model
        assert isinstance(model, Vits)
        draws = GeneratorDraws(torch.Generator().manual_seed(1))
        semantics = self.pair.semantics
        states = decode(semantics.model, semantics.sessions, [work.joined], work.prompt, Choice(), draws)
        decoder = ChunkDecoder(model, work.phones, work.voice.sound.style, 1.0, rules, torch.randn)
        return next(joined_chunks(decoder, token_chunks(states, semantics.mute_scores, rules)))


def main() -> None:
    """Run the benchmark, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=["v2", "v2Pro"], choices=["v1", "v2", "v2Pro", "v2ProPlus"])
    parser.add_argument("--tokens", type=int, default=150, help="semantic tokens of the segment (25 a second)")
    parser.add_argument("--phones", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU time, for a machine with other work")
    parser.add_argument("--official", type=Path, help="a checkout of RVC-Boss/GPT-SoVITS")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows: list[list[object]] = []
    for version in given.versions:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(version, Path(folder), given)
    head = ["version", "code", "S1 tokens/s", "S2 for the segment", "RTF", "first chunk", "reference, once"]
    seconds = "CPU seconds" if given.cpu_time else "seconds"
    length = f"{given.tokens * TOKEN_SECONDS:g} s of speech"
    show(f"GPT-SoVITS, batch 1, {length}, {given.threads} threads, {seconds}", head, rows)


def measure(version: Any, folder: Path, given: argparse.Namespace) -> list[list[object]]:
    """Return the rows of one version."""
    write_release(folder, version, replace(FULL, max_sec=given.tokens / 50))
    machinery = Machinery(folder, GptSovitsLoadOptions(version=version))
    ours = Ours(machinery.pair())
    work, reference_time = prepared(machinery, given)
    runs: dict[str, list[Callable[[], Any]]] = {}
    made = ours.tokens(work, given.tokens)
    runs["tts-hub"] = [
        lambda: ours.tokens(work, given.tokens),
        lambda: ours.sound(work, made),
        lambda: ours.first_chunk(work),
    ]
    if given.official:
        s1, s2 = (folder / name for name in PRETRAINED[version])
        theirs = Official(given.official, s1, s2, folder / SPEAKER if "Pro" in version else None)
        phones, bert = work.joined.phones, work.joined.bert
        runs["official"] = [
            lambda: theirs.tokens(phones, bert, work.prompt, given.tokens - 1),
            lambda: theirs.sound(made, work.phones, work.spec, work.wave16k),
            lambda: theirs.first_chunk(phones, work.phones, bert, work.prompt, work.spec, work.wave16k, CHUNK),
        ]
    clock = time.process_time if given.cpu_time else time.perf_counter
    times: dict[str, list[list[float]]] = {name: [[], [], []] for name in runs}
    for number in range(given.rounds + 1):
        for name, calls in runs.items():
            for what, call in enumerate(calls):
                begin = clock()
                call()
                if number:  # the first round warms up
                    times[name][what].append(clock() - begin)
    return [
        row(version, name, [statistics.median(one) for one in found], given, reference_time)
        for name, found in times.items()
    ]


def row(version: str, name: str, medians: list[float], given: argparse.Namespace, reference: float) -> list[object]:
    """Return one line of the table."""
    s1, s2, first = medians
    once = f"{reference:.2f} s" if name == "tts-hub" else ""
    real_time = (s1 + s2) / (given.tokens * TOKEN_SECONDS)
    return [version, name, f"{given.tokens / s1:.1f}", f"{s2:.2f} s", f"{real_time:.2f}", f"{first:.2f} s", once]


def prepared(machinery: Machinery, given: argparse.Namespace) -> tuple[Work, float]:
    """A segment of phones behind a reference of 5 s with 40, and the seconds that the reference took."""
    count, clock = given.phones, time.process_time if given.cpu_time else time.perf_counter
    acoustics, generator = machinery.acoustics(), torch.Generator().manual_seed(2)
    rate = acoustics.spectrum[0]
    samples = (torch.randn(rate * 5, generator=generator) * 0.1).numpy().astype(np.float32)
    machinery.load_default()
    begin = clock()
    voice = machinery.voices.voice(MainReference(wav_of(samples, rate), "", "zh"), [], acoustics)
    seconds = clock() - begin
    width = machinery.semantics().model.bert_width
    phones = torch.randint(0, acoustics.model.enc_p.text_embedding.num_embeddings, (40 + count,), generator=generator)
    bert = torch.randn(width, 40 + count, generator=generator)
    voice = replace(voice, phrase=Phrase(phones[:40], bert[:, :40], ""))
    audio = torch.from_numpy(samples)[None]
    spec = style_spectrogram(audio, *acoustics.spectrum[1:])
    return Work(voice, phones[40:], Row(phones, bert), spec, audio[:, ::2]), seconds


if __name__ == "__main__":
    main()
