"""Audio -> features, and audio -> another rate, as the families' own front ends compute them.

Mono float32 audio in -1..1, (..., N) samples. Filters and windows are made once per setting and device. The sources:
Slaney's Auditory Toolbox and the HTK book for the two mel scales (librosa and torchaudio agree), Kaldi's
`compute-fbank-feats`, OpenAI Whisper's log-mel, and Smith's bandlimited interpolation for the resampler.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MelScale = Literal["slaney", "htk"]

_SLANEY_STEP = 200.0 / 3  # Hz per mel below 1 kHz
_SLANEY_KNEE = 1000.0  # Hz; logarithmic above
_SLANEY_RATIO = math.log(6.4) / 27.0  # of frequencies one mel apart, above the knee
KALDI_FLOOR = torch.finfo(torch.float32).eps


# -- spectra -----------------------------------------------------------------------------------------------------------


def magnitudes(
    audio: Tensor,
    *,
    n_fft: int,
    hop: int,
    window: int | None = None,
    pad: tuple[int, int] | None = None,
    pad_mode: str = "reflect",
    center: bool = False,
    floor: float = 0.0,
) -> Tensor:
    """Short-time magnitude spectra sqrt(re^2 + im^2 + floor), Hann window: (..., N) -> (..., n_fft/2 + 1, frames).

    `pad` samples are added on each side, by default (n_fft - hop) / 2 as in HiFi-GAN's code and its descendants;
    with `center`, torch centres by n_fft/2 instead.
    """
    if center:
        before = after = n_fft // 2
    else:
        before, after = pad if pad is not None else ((n_fft - hop) // 2, (n_fft - hop) // 2)
    padded = _padded(audio, before, after, pad_mode)
    spectrum = torch.stft(
        padded.reshape(-1, padded.shape[-1]),
        n_fft,
        hop_length=hop,
        win_length=window or n_fft,
        window=_hann(window or n_fft, audio.device),
        center=False,
        return_complex=True,
    )
    found = torch.view_as_real(spectrum).square().sum(-1)
    found = (found + floor).sqrt() if floor else found.sqrt()
    return found.reshape(*audio.shape[:-1], *found.shape[-2:])


def log_mel(
    audio: Tensor,
    *,
    sample_rate: int,
    n_fft: int,
    hop: int,
    bands: int,
    window: int | None = None,
    low: float = 0.0,
    high: float | None = None,
    pad: tuple[int, int] | None = None,
    pad_mode: str = "reflect",
    center: bool = False,
    floor: float = 1e-9,
    least: float = 1e-5,
    scale: MelScale = "slaney",
    norm: bool = True,
) -> Tensor:
    """ln(max(mel magnitudes, least)): (..., N) -> (..., bands, frames). Arguments as `magnitudes` and `mel_filters`.

    The defaults are Matcha-TTS's and HiFi-GAN's; Fish's firefly differs in `pad` and `floor`.
    """
    spectrum = magnitudes(
        audio, n_fft=n_fft, hop=hop, window=window, pad=pad, pad_mode=pad_mode, center=center, floor=floor
    )
    return (
        (filters_on(audio.device, sample_rate, n_fft, bands, low, high, scale, norm) @ spectrum).clamp(min=least).log()
    )


def whisper_log_mel(audio: Tensor, bands: int = 80) -> Tensor:
    """Whisper's features of 16 kHz audio: (..., N) -> (..., bands, N // 160).

    log10 of the mel powers, at most 8 below the greatest of the whole, then (x + 4) / 4.
    """
    powers = magnitudes(audio, n_fft=400, hop=160, center=True)[..., :-1].square()
    found = (filters_on(audio.device, 16000, 400, bands) @ powers).clamp(min=1e-10).log10()
    loudest = found.amax(dim=(-2, -1), keepdim=True)
    return (found.maximum(loudest - 8.0) + 4.0) / 4.0


def kaldi_fbank(
    audio: Tensor, *, bands: int = 80, sample_rate: int = 16000, low: float = 20.0, high: float = 0.0
) -> Tensor:
    """Kaldi's log mel energies without dither: (N,) -> (frames, bands). `high` <= 0 counts from the Nyquist rate down.

    25 ms frames every 10 ms, only whole ones; mean removed, pre-emphasis 0.97, Povey window, power spectrum. Raises
    ValueError for audio shorter than a frame.
    """
    length, shift = sample_rate * 25 // 1000, sample_rate * 10 // 1000
    if audio.dim() != 1 or audio.shape[0] < length:
        raise ValueError(f"audio of shape {tuple(audio.shape)}; at least {length} samples are needed")
    frames = audio.unfold(0, length, shift)  # (frames, length)
    frames = frames - frames.mean(1, keepdim=True)
    frames = frames - 0.97 * F.pad(frames[None], (1, 0), mode="replicate")[0, :, :-1]
    size = 1 << (length - 1).bit_length()
    spectrum = torch.fft.rfft(F.pad(frames * _povey(length, audio.device), (0, size - length))).abs().square()
    energies = spectrum @ _kaldi_filters(bands, size, sample_rate, low, high, audio.device).T
    return energies.clamp(min=KALDI_FLOOR).log()


# -- filters -----------------------------------------------------------------------------------------------------------


def mel_filters(
    sample_rate: int,
    n_fft: int,
    bands: int,
    low: float = 0.0,
    high: float | None = None,
    scale: MelScale = "slaney",
    norm: bool = True,
) -> Tensor:
    """Triangles, evenly spaced in mel: (bands, n_fft/2 + 1) float32. `high` is half the rate by default.

    `norm` scales each by 2 / its width in Hz (Slaney's). Computed in float64 and rounded to float32 as in librosa:
    first the triangle, then its product with the norm.
    """
    edges = _hertz(
        torch.linspace(
            _mel(low, scale), _mel(sample_rate / 2 if high is None else high, scale), bands + 2, dtype=torch.float64
        ),
        scale,
    )
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    widths = edges.diff()
    ramps = edges[:, None] - bins[None]  # (bands + 2, bins)
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    triangles = rising.minimum(falling).clamp(min=0).float()
    if not norm:
        return triangles
    return (triangles.double() * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


@lru_cache(maxsize=64)
def filters_on(
    device: torch.device,
    sample_rate: int,
    n_fft: int,
    bands: int,
    low: float = 0.0,
    high: float | None = None,
    scale: MelScale = "slaney",
    norm: bool = True,
) -> Tensor:
    """`mel_filters`, cached on a device. Do not write to the result."""
    return mel_filters(sample_rate, n_fft, bands, low, high, scale, norm).to(device)


def _mel(hertz: float, scale: MelScale) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hertz / 700.0)
    if hertz < _SLANEY_KNEE:
        return hertz / _SLANEY_STEP
    return _SLANEY_KNEE / _SLANEY_STEP + math.log(hertz / _SLANEY_KNEE) / _SLANEY_RATIO


def _hertz(mels: Tensor, scale: MelScale) -> Tensor:
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    knee = _SLANEY_KNEE / _SLANEY_STEP
    return torch.where(mels < knee, _SLANEY_STEP * mels, _SLANEY_KNEE * (_SLANEY_RATIO * (mels - knee)).exp())


@lru_cache(maxsize=16)
def _kaldi_filters(bands: int, size: int, sample_rate: int, low: float, high: float, device: torch.device) -> Tensor:
    """Kaldi's triangles: linear in mel, not in Hz, no area norm, zero at the Nyquist bin. (bands, size/2 + 1)."""
    high = high if high > 0 else high + sample_rate / 2

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * (1.0 + hertz / 700.0).log()

    least, most = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (low, high))
    step = (most - least) / (bands + 1)
    left, centre, right = (least + (torch.arange(bands)[:, None] + edge) * step for edge in range(3))
    of_bin = mel(sample_rate / size * torch.arange(size / 2))[None]
    triangles = ((of_bin - left) / (centre - left)).minimum((right - of_bin) / (right - centre)).clamp(min=0)
    return F.pad(triangles, (0, 1)).to(device)


@lru_cache(maxsize=32)
def _hann(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, device=device)


@lru_cache(maxsize=8)
def _povey(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, periodic=False, device=device).pow(0.85)


def _padded(audio: Tensor, before: int, after: int, mode: str) -> Tensor:
    if not before and not after:
        return audio
    flat = audio.reshape(-1, 1, audio.shape[-1])
    return F.pad(flat, (before, after), mode=mode).reshape(*audio.shape[:-1], -1)


# -- another sample rate -----------------------------------------------------------------------------------------------


def resample(audio: Tensor, rate: int, new_rate: int, *, kernel_dtype: torch.dtype = torch.float64) -> Tensor:
    """Windowed-sinc resampling (Hann, 6 zero crossings, roll-off 0.99): (..., N) -> (..., ceil(N * new_rate / rate)).

    The same numbers as torchaudio's default. Its `transforms.Resample` computes the kernel in float64, as this does;
    its `functional.resample` in the audio's own type, for which `kernel_dtype` is float32.
    """
    if rate == new_rate:
        return audio
    divisor = math.gcd(rate, new_rate)
    step, phases = rate // divisor, new_rate // divisor
    kernel, reach = _sinc_kernel(step, phases, kernel_dtype, audio.dtype, audio.device)
    flat = F.pad(audio.reshape(-1, 1, audio.shape[-1]), (reach, reach + step))
    found = F.conv1d(flat, kernel, stride=step)  # (rows, phases, blocks)
    found = found.transpose(1, 2).reshape(*audio.shape[:-1], -1)
    return found[..., : -(-phases * audio.shape[-1] // step)]


@lru_cache(maxsize=32)
def _sinc_kernel(
    step: int, phases: int, dtype: torch.dtype, out: torch.dtype, device: torch.device
) -> tuple[Tensor, int]:
    """(phases, 1, taps), and how many taps stand before the sample."""
    crossings, cutoff = 6, min(step, phases) * 0.99
    reach = math.ceil(crossings * step / cutoff)
    taps = torch.arange(-reach, reach + step, dtype=dtype) / step
    shift = torch.arange(0, -phases, -1, dtype=torch.float32) / phases  # float32 in torchaudio, whatever the type
    time = shift[:, None] + taps[None]
    time = (time * cutoff).clamp(-crossings, crossings)
    hann = (time * math.pi / crossings / 2).cos().square()
    angle = time * math.pi
    sinc = torch.where(angle == 0, 1.0, angle.sin() / angle)
    return (sinc * (hann * (cutoff / step)))[:, None].to(device, out), reach
