"""Uploads of every kind: good ones keep their audio, bad ones are refused with a reason."""

import io
import socket
import struct

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.audio.decode import Audio, DecodeLimits, decode, to_wav_f32
from hub.audio.encode import encode_whole, make_encoder
from hub.contract import AudioFormat
from hub.contract.errors import InvalidAudio, TooLarge

RATE = 24_000


def tone(seconds=1.0, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def file(samples, rate=RATE, format="WAV", subtype=None):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def libav_file(muxer, codec, samples, rate=48_000):
    out = io.BytesIO()
    with av.open(out, "w", format=muxer) as container:
        options = {"aac_coder": "fast"} if codec == "aac" else {}
        stream = container.add_stream(codec, rate=rate, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def loudest_hertz(audio):
    spectrum = np.abs(np.fft.rfft(audio.samples * np.hanning(len(audio.samples))))
    return float(np.argmax(spectrum) * audio.sample_rate / len(audio.samples))


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ULAW"),
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_files_that_soundfile_writes(format, subtype):
    audio = decode(file(tone(), format=format, subtype=subtype))
    assert audio.sample_rate == RATE
    assert len(audio.samples) == pytest.approx(RATE, abs=1)
    assert audio.samples.dtype == np.float32
    assert loudest_hertz(audio) == pytest.approx(440, abs=1)
    assert np.abs(audio.samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("muxer", "codec"),
    [
        ("ipod", "aac"),
        ("ipod", "alac"),
        ("mp4", "aac"),
        ("mov", "pcm_s16le"),
        ("mov", "pcm_s24le"),
        ("webm", "libopus"),
        ("matroska", "flac"),
        ("matroska", "pcm_u8"),
        ("adts", "aac"),
        ("mp3", "libmp3lame"),
    ],
)
def test_files_that_libav_writes(muxer, codec):
    audio = decode(libav_file(muxer, codec, tone(rate=48_000)))
    assert audio.sample_rate == 48_000
    assert 48_000 <= len(audio.samples) <= 48_000 + 2 * 1152
    assert loudest_hertz(audio) == pytest.approx(440, abs=1)
    assert np.abs(audio.samples).max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("container", ["wav", "mp3", "opus", "aac", "flac"])
def test_the_hub_decodes_its_own_answers(container, whole):
    encoder = make_encoder(AudioFormat(container=container), RATE, whole=whole)
    audio = decode(encoder.feed(tone()) + encoder.finish())
    assert audio.seconds == pytest.approx(1.0, abs=0.15)
    assert loudest_hertz(audio) == pytest.approx(440, abs=1)


def test_channels_are_averaged():
    left, right = tone(), np.full(RATE, 0.25, np.float32)
    audio = decode(file(np.stack([left, right], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(audio.samples, (left + right) / 2, atol=1e-7)
    assert audio.samples.flags.c_contiguous


def test_the_form_that_synthesizers_get_keeps_every_bit():
    audio = Audio(np.random.default_rng(0).standard_normal(999).astype(np.float32), 22_050)
    wav = to_wav_f32(audio)
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    assert rate == 22_050
    np.testing.assert_array_equal(samples, audio.samples)
    np.testing.assert_array_equal(decode(wav).samples, audio.samples)
    assert struct.unpack_from("<I", wav, 4)[0] == len(wav) - 8


def nan_wav(value):
    samples = tone()
    samples[100] = value
    return file(samples, subtype="FLOAT")


def bomb_mp4():
    """Return a small m4a whose table claims a billion samples of one size."""
    data = bytearray(libav_file("ipod", "aac", tone(rate=48_000)))
    at = data.index(b"stsz")
    struct.pack_into(">II", data, at + 8, 1, 1_000_000_000)
    return bytes(data)


BAD = {
    "nothing": (b"", "no bytes"),
    "text": (b"This is a letter, not a recording.\n" * 50, "not audio"),
    "zeros": (bytes(5000), "not audio"),
    "noise": (np.random.default_rng(0).bytes(20_000), "not audio"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "not audio"),
    "half a header": (file(tone())[:20], "cut off before its audio"),
    "no samples": (file(np.empty(0, np.float32)), "no samples"),
    "no samples, flac": (encode_whole(AudioFormat(container="flac"), RATE, np.empty(0, np.float32)), "no samples"),
    "wav cut off": (file(tone())[:30_000], "18044 of its 48000 bytes"),
    "flac cut off": (file(tone(), format="FLAC")[:-2000], "cut off|damaged"),
    "ogg cut off": (file(tone(), format="OGG")[:-100], "middle of a page"),
    "m4a cut off": (libav_file("ipod", "aac", tone(rate=48_000))[:-3000], "damaged"),
    "mov cut off": (libav_file("mov", "pcm_s16le", tone(rate=48_000))[:-3000], "damaged"),
    "webm cut off": (libav_file("webm", "libopus", tone(3.0, 48_000))[:9000], "of its 3.0 seconds"),
    "20 channels": (file(np.zeros((100, 20), np.float32)), "20 channels"),
    "20 channels, caf": (file(np.zeros((100, 20), np.float32), format="CAF"), "20 channels"),
    "rate too high": (file(tone(), rate=384_000), "384000 Hz"),
    "rate too low": (file(tone(), rate=1000), "1000 Hz"),
    "NaN": (nan_wav(np.nan), "NaN or infinite"),
    "infinite": (nan_wav(-np.inf), "NaN or infinite"),
    "mp4 bomb": (bomb_mp4(), "claims more audio"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_uploads_are_refused_with_a_reason(name):
    data, words = BAD[name]
    with pytest.raises(InvalidAudio, match=words) as caught:
        decode(data)
    assert "<_io" not in caught.value.message
    assert "/" not in caught.value.message


def test_too_many_bytes_are_refused_before_a_decoder_sees_them():
    with pytest.raises(TooLarge, match="at most 1000"):
        decode(b"not even audio" * 1000, limits=DecodeLimits(bytes=1000))


@pytest.mark.parametrize("container", ["wav", "flac", "mp3", "opus", "aac"])
def test_a_long_silence_in_few_bytes_is_stopped_at_the_limit(container):
    silence = encode_whole(AudioFormat(container=container), RATE, np.zeros(RATE * 20, np.float32))
    with pytest.raises(InvalidAudio, match="longer than 10 seconds"):
        decode(silence, limits=DecodeLimits(seconds=10))
    assert decode(silence, limits=DecodeLimits(seconds=21)).seconds == pytest.approx(20, abs=0.2)


def test_a_header_that_lies_about_its_length_costs_nothing():
    flac = bytearray(encode_whole(AudioFormat(container="flac"), RATE, tone()))
    flac[21] |= 0x0F  # STREAMINFO: 36 bits of total samples, from the low half of byte 21
    flac[22:26] = b"\xff\xff\xff\xf0"
    with pytest.raises(InvalidAudio, match=r"cut off|damaged"):
        decode(bytes(flac))


def test_exactly_the_limits_are_allowed():
    limits = DecodeLimits(seconds=1.0, channels=2, min_rate=RATE, max_rate=RATE)
    assert len(decode(file(np.zeros((RATE, 2), np.float32)), limits=limits).samples) == RATE


def test_nothing_in_an_upload_opens_a_file_or_an_address(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(file(tone()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        for target in (f"file://{secret}", str(secret), url):
            for text in (
                f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
                f"ffconcat version 1.0\nfile '{target}'\n",
                f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
                "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 50040 RTP/AVP 0\n",
                '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
                f'mimeType="audio/wav"><Representation id="1"><BaseURL>{target}</BaseURL></Representation>'
                "</AdaptationSet></Period></MPD>",
                target,
            ):
                with pytest.raises(InvalidAudio, match="not audio"):
                    decode(text.encode())
        with pytest.raises(BlockingIOError):
            server.accept()  # no one connected


GOOD = [
    file(tone(0.2)),
    file(tone(0.2), format="FLAC"),
    file(tone(0.2), format="OGG"),
    file(tone(0.2), format="MP3"),
    libav_file("ipod", "aac", tone(0.2, 48_000)),
    libav_file("webm", "libopus", tone(0.2, 48_000)),
    libav_file("adts", "aac", tone(0.2, 48_000)),
]


@settings(max_examples=150)
@given(data=st.data())
def test_damage_anywhere_is_either_decoded_or_refused(data):
    good = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, min(len(good), 600) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    try:
        audio = decode(bytes(good[:cut]), limits=DecodeLimits(seconds=5))
    except InvalidAudio:
        return
    assert audio.samples.ndim == 1
    assert audio.samples.size
    assert np.isfinite(audio.samples).all()
