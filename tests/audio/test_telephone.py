import av
import numpy as np
import pytest

from hub.audio.encode import encode_whole, make_encoder
from hub.audio.telephone import TELEPHONE
from hub.contract import AudioFormat
from hub.contract.errors import InvalidRequest
from hub.testing import tone
from hub.testing.tone.score import score_of

CODECS = {"ulaw": "pcm_mulaw", "alaw": "pcm_alaw"}


def decode(law, body):
    context = av.CodecContext.create(CODECS[law], "r")
    context.sample_rate, context.layout = 8000, "mono"
    return np.concatenate([frame.to_ndarray()[0] for frame in context.decode(av.Packet(body))]).astype(int)


@pytest.mark.parametrize(("law", "largest"), [("ulaw", 644), ("alaw", 512)])
def test_every_sample_becomes_the_nearest_level(law, largest):
    samples = np.arange(-32768, 32768)
    levels = decode(law, bytes(range(256)))
    body = encode_whole(AudioFormat(container=law), 8000, (samples / 32768).astype(np.float32), TELEPHONE)
    distance = np.abs(decode(law, body) - samples)
    assert distance.max() == largest
    np.testing.assert_array_equal(distance, np.abs(samples[:, None] - np.unique(levels)).min(axis=1))


@pytest.mark.parametrize("law", TELEPHONE)
def test_speech_survives_the_telephone_codecs(law):
    text = "over the wire"
    wave = np.concatenate([wave for wave, _ in score_of(text, 1.0, 100)])
    encoder = make_encoder(AudioFormat(container=law), tone.SAMPLE_RATE, encoders=TELEPHONE)
    body = b"".join(encoder.feed(part) for part in np.array_split(wave, 7)) + encoder.finish()
    encoder.close()
    assert encoder.sample_rate == 8000
    assert tone.decode(decode(law, body) / 32768, 8000) == text


def test_there_is_no_other_rate():
    with pytest.raises(InvalidRequest, match="8000 Hz"):
        make_encoder(AudioFormat(container="ulaw", sample_rate=16_000), 24_000, encoders=TELEPHONE)
