"""Features against torchaudio, which computes the same formulas, and against figures written out by hand."""

import math
import warnings

import numpy as np
import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchaudio
    import torchaudio.compliance.kaldi as kaldi

from hub.nn.features import kaldi_fbank, log_mel, magnitudes, mel_filters, resample, whisper_log_mel


@pytest.fixture
def audio():
    """Half a second of two tones and some noise, 16 kHz."""
    t = torch.arange(8000) / 16000
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(2))
    return 0.3 * (2 * math.pi * 440 * t).sin() + 0.2 * (2 * math.pi * 3100 * t).sin() + 0.01 * noise


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(
    ("rate", "n_fft", "bands", "low", "high"),
    [(16000, 400, 64, 0, None), (44100, 2048, 160, 0, None), (24000, 1920, 80, 20, 8000)],
)
def test_mel_filters_are_torchaudios(scale, norm, rate, n_fft, bands, low, high):
    theirs = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, low, high or rate / 2, bands, rate, norm="slaney" if norm else None, mel_scale=scale
    ).T
    ours = mel_filters(rate, n_fft, bands, low, high, scale, norm)
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, theirs, atol=2e-4 * theirs.max().item())  # theirs is computed in float32


def test_slaney_filters_are_exact_where_they_can_be_computed_by_hand():
    ours = mel_filters(8000, 8, 2, 0.0, 1000.0).double().numpy()  # bins at 0, 1000, ... Hz; edges at 0, 1/3, 2/3, 1 kHz
    assert np.all(ours == 0)
    ours = mel_filters(4000, 40, 2, 0.0, 600.0, norm=False)  # bins every 100 Hz; edges at 0, 200, 400, 600 Hz
    assert torch.allclose(ours[:, :7], torch.tensor([[0, 0.5, 1, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 1, 0.5, 0]]))
    assert torch.allclose(mel_filters(4000, 40, 2, 0.0, 600.0)[:, :7], ours[:, :7] * 2 / 400)


def test_centred_spectra_are_torchs(audio):
    theirs = torch.stft(audio, 400, 160, window=torch.hann_window(400), return_complex=True).abs()
    assert torch.allclose(magnitudes(audio, n_fft=400, hop=160, center=True), theirs, atol=1e-5)
    batch = torch.stack((audio, -audio / 2))[:, None]
    assert torch.allclose(magnitudes(batch, n_fft=400, hop=160, center=True)[1, 0], theirs / 2, atol=1e-5)


def test_uncentred_spectra_are_padded_as_asked(audio):
    default = magnitudes(audio, n_fft=1024, hop=256, floor=1e-6)
    assert default.shape == (513, (8000 + 768 - 1024) // 256 + 1)
    by_hand = torch.nn.functional.pad(audio[None], (384, 384), mode="reflect")[0]
    frame = by_hand[5 * 256 :][:1024] * torch.hann_window(1024)
    assert torch.allclose(default[:, 5], (torch.fft.rfft(frame).abs() ** 2 + 1e-6).sqrt(), atol=1e-4)
    short_window = magnitudes(audio, n_fft=1024, hop=256, window=512, pad=(0, 0))
    assert short_window.shape == (513, (8000 - 1024) // 256 + 1)
    window = torch.nn.functional.pad(torch.hann_window(512), (256, 256))
    assert torch.allclose(short_window[:, 2], torch.fft.rfft(audio[512:1536] * window).abs(), atol=1e-4)


def test_log_mel_is_filters_on_spectra_with_a_floor(audio):
    found = log_mel(audio, sample_rate=16000, n_fft=1024, hop=256, bands=80, high=8000)
    spectrum = magnitudes(audio, n_fft=1024, hop=256, floor=1e-9)
    expected = (mel_filters(16000, 1024, 80, 0, 8000) @ spectrum).clamp(min=1e-5).log()
    assert torch.allclose(found, expected)
    silent = log_mel(torch.zeros(1, 4000), sample_rate=16000, n_fft=1024, hop=256, bands=80)
    assert silent.shape == (1, 80, 15)
    assert torch.allclose(silent, torch.tensor(1e-5).log())


def test_whispers_log_mel(audio):
    found = whisper_log_mel(audio[None], 128)
    powers = torch.stft(audio, 400, 160, window=torch.hann_window(400), return_complex=True)[:, :-1].abs() ** 2
    filters = torchaudio.functional.melscale_fbanks(201, 0, 8000, 128, 16000, norm="slaney", mel_scale="slaney").T
    expected = (filters @ powers).clamp(min=1e-10).log10()
    expected = (expected.maximum(expected.max() - 8) + 4) / 4
    assert found.shape == (1, 128, 50)
    assert torch.allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"bands": 40, "low": 0.0, "high": -400.0}, {"bands": 23, "high": 3800.0}])
def test_kaldis_fbank_is_torchaudios(audio, options):
    names = {"bands": "num_mel_bins", "low": "low_freq", "high": "high_freq"}
    theirs = kaldi.fbank(audio[None], **{"num_mel_bins": 80, **{names[k]: v for k, v in options.items()}})
    ours = kaldi_fbank(audio, **options)
    assert ours.shape == theirs.shape
    assert torch.equal(ours, theirs)


def test_kaldis_fbank_at_another_rate_and_of_too_little(audio):
    theirs = kaldi.fbank(audio[None], num_mel_bins=80, sample_frequency=8000)
    assert torch.allclose(kaldi_fbank(audio, sample_rate=8000), theirs, atol=1e-5)
    with pytest.raises(ValueError, match="at least 400 samples"):
        kaldi_fbank(audio[:399])


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(48000, 44100), (16000, 24000), (24000, 16000), (44100, 16000), (8000, 8000), (32000, 16000)]
)
def test_resampling_is_torchaudios_to_the_bit(audio, rate, new_rate):
    batch = torch.stack((audio, audio.flip(0)))[:, :7001]
    ours = resample(batch, rate, new_rate)
    assert torch.equal(ours, torchaudio.transforms.Resample(rate, new_rate)(batch))
    assert ours.shape[-1] == math.ceil(7001 * new_rate / rate)
    in_float32 = resample(batch, rate, new_rate, kernel_dtype=torch.float32)
    assert torch.equal(in_float32, torchaudio.functional.resample(batch, rate, new_rate))
