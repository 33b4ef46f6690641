"""Cut a long recording at its silences, as the family's training tools do: start and end of each slice in samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SliceRules:
    """`threshold` in dB; lengths in milliseconds; `peak` and `mix` scale the written slices."""

    threshold: float = -34.0
    min_length: int = 4000
    min_interval: int = 300
    hop: int = 10
    max_silence: int = 500
    peak: float = 0.9
    mix: float = 0.25


def slices(wave: Wave, rate: int, rules: SliceRules) -> list[tuple[int, int]]:
    """Mono (N,) -> [start, end) of each slice. The last end is counted in whole hops and may exceed N."""
    hop = round(rate * rules.hop / 1000)
    if len(wave) <= round(rate * rules.min_length / 1000 / hop):
        return [(0, len(wave))]
    loudness = _loudness(wave, min(round(rate * rules.min_interval / 1000), 4 * hop), hop)
    total = len(loudness)
    silences = _silences(loudness, rate, hop, rules)
    if not silences:
        return [(0, total * hop)]
    starts = [0, *(end for _, end in silences)]
    ends = [*(start for start, _ in silences), total]
    first = 0 if silences[0][0] > 0 else 1
    last = len(starts) if silences[-1][1] < total else len(starts) - 1
    return [(start * hop, end * hop) for start, end in list(zip(starts, ends, strict=True))[first:last]]


def _loudness(wave: Wave, window: int, hop: int) -> npt.NDArray[np.float32]:
    """RMS of centred frames, zeros around the audio."""
    padded = np.pad(wave, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.sqrt(np.mean(np.abs(frames) ** 2, axis=-1))


def _silences(loudness: npt.NDArray[np.float32], rate: int, hop: int, rules: SliceRules) -> list[tuple[int, int]]:
    """The stretches of frames that are left out, [start, end); an empty one is a cut that leaves out nothing."""
    threshold = 10 ** (rules.threshold / 20)
    shortest = round(rate * rules.min_length / 1000 / hop)
    interval = round(rate * rules.min_interval / 1000 / hop)
    kept = round(rate * rules.max_silence / 1000 / hop)
    found: list[tuple[int, int]] = []
    begin: int | None = None  # of the current silence
    clip = 0  # where the current slice began
    for frame, level in enumerate(loudness):
        if level < threshold:
            begin = frame if begin is None else begin
            continue
        if begin is None:
            continue
        leading = begin == 0 and frame > kept
        if leading or (frame - begin >= interval and frame - clip >= shortest):
            found.append(_left_out(loudness, begin, frame, kept))
            clip = found[-1][1]
        begin = None
    if begin is not None and len(loudness) - begin >= interval:
        end = min(len(loudness), begin + kept)
        found.append((_quietest(loudness, begin, end), len(loudness) + 1))
    return found


def _left_out(loudness: npt.NDArray[np.float32], begin: int, end: int, kept: int) -> tuple[int, int]:
    """The part of the silence begin..end to leave out: none of a short one; `kept` frames stay on each side."""
    if end - begin <= kept:
        cut = _quietest(loudness, begin, end)
        return (0 if begin == 0 else cut, cut)
    left, right = _quietest(loudness, begin, begin + kept), _quietest(loudness, end - kept, end)
    if begin == 0:
        return 0, right
    if end - begin <= 2 * kept:
        middle = _quietest(loudness, end - kept, begin + kept)
        return min(left, middle), max(right, middle)
    return left, right


def _quietest(loudness: npt.NDArray[np.float32], begin: int, end: int) -> int:
    """The quietest frame of begin..end, both included."""
    return begin + int(loudness[begin : end + 1].argmin())


def written(part: Wave, rules: SliceRules) -> npt.NDArray[np.int16]:
    """A slice as the tools write it: mostly normalised to `peak`, mixed with itself, int16."""
    loudest = float(np.abs(part).max(initial=0.0))
    if loudest > 1:
        part = part / loudest
        loudest = 1.0
    if loudest > 0:
        part = part / loudest * (rules.peak * rules.mix) + (1 - rules.mix) * part
    return (part * 32767).astype(np.int16)
