"""Vorbis: other readers decode the input, however it was fed."""

import io

import av
import numpy as np
import pytest

from hub.audio.encode import encode_whole, make_encoder
from hub.audio.vorbis import VORBIS
from hub.contract import AudioFormat
from hub.contract.errors import InvalidRequest

VORBIS_ONLY = {"vorbis": VORBIS}
FORMAT = AudioFormat(container="vorbis")


def heard(body):
    """Return rate and samples as read by libav, which shares no code with libsndfile."""
    with av.open(io.BytesIO(body)) as file:
        stream = file.streams.audio[0]
        assert (file.format.name, stream.codec_context.name) == ("ogg", "vorbis")
        return stream.rate, np.concatenate([frame.to_ndarray()[0] for frame in file.decode(stream)])


def sound(rate, seconds):
    time = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(1).standard_normal(len(time))
    return ((0.4 * np.sin(2 * np.pi * 220 * time) + 0.02 * noise) * np.sin(2 * np.pi * time) ** 2).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 24_000, 32_000, 48_000])
@pytest.mark.parametrize("pieces", [1, 40])
def test_another_reader_decodes_the_input(rate, pieces):
    samples = sound(rate, 4.0)
    encoder = make_encoder(FORMAT, rate, encoders=VORBIS_ONLY)
    fed = [encoder.feed(part) for part in np.array_split(samples, pieces)]
    found_rate, found = heard(b"".join(fed) + encoder.finish())
    encoder.close()
    assert found_rate == rate
    assert abs(len(found) - len(samples)) <= rate // 50
    length = min(len(found), len(samples))
    assert np.sqrt(np.mean((found[:length] - samples[:length]) ** 2)) < 0.03
    assert sum(map(bool, fed)) > 1 or pieces == 1, "sent while it is fed"


def test_minutes_at_once_and_invalid_samples():
    samples = np.tile(sound(32_000, 1.0), 300)
    samples[5], samples[6] = np.nan, 7.0
    assert len(heard(encode_whole(FORMAT, 32_000, samples, VORBIS_ONLY))[1]) == pytest.approx(len(samples), abs=640)


def test_nothing_can_be_fed_after_the_end():
    encoder = make_encoder(FORMAT, 24_000, encoders=VORBIS_ONLY)
    encoder.finish()
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.feed(np.zeros(4, np.float32))
    with pytest.raises(InvalidRequest, match="bitrate"):
        make_encoder(AudioFormat(container="vorbis", bitrate=64), 24_000, encoders=VORBIS_ONLY)
