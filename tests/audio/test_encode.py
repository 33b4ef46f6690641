"""Other readers (wave, soundfile and libav) read the encoders' output."""

import gc
import io
import os
import wave

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.audio.encode import BUILTIN, EncoderSpec, check_format, encode_whole, make_encoder
from hub.audio.pcm import to_s16
from hub.contract import AudioFormat
from hub.contract.errors import InvalidRequest

COMPRESSED = ("mp3", "opus", "aac", "flac")
RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)


class Pipe:
    """Bytes that can only be read forwards."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size):
        return self._file.read(size)


def tone(rate, seconds=1.0, hertz=440.0):
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    samples = samples.astype(np.float32)
    samples.flags.writeable = False  # as numpy.frombuffer gives it
    return samples


def stream(format, rate, samples, step=480):
    encoder = make_encoder(format, rate)
    pieces = [encoder.feed(samples[at : at + step]) for at in range(0, len(samples), step)]
    pieces.append(encoder.finish())
    encoder.close()
    return b"".join(pieces)


def read_libav(data):
    """Return (samples, sample rate); read a body that is cut off as far as possible."""
    out, rate = [], 0
    try:
        with av.open(data if isinstance(data, Pipe) else io.BytesIO(data)) as container:
            for frame in container.decode(audio=0):
                array = frame.to_ndarray().reshape(-1)
                out.append(array.astype(np.float32) / (32768 if array.dtype == np.int16 else 1))
                rate = frame.sample_rate
    except (av.InvalidDataError, av.EOFError):
        pass
    return np.concatenate(out) if out else np.empty(0, np.float32), rate


def loudest_hertz(samples, rate):
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum) * rate / len(middle))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("container", ["wav", *COMPRESSED])
@pytest.mark.parametrize("rate", RATES)
def test_encoded_audio_decodes_to_the_same_tone(container, rate, whole):
    format, sound = AudioFormat(container=container), tone(rate)
    encoder = make_encoder(format, rate, whole=whole)
    body = encode_whole(format, rate, sound) if whole else stream(format, rate, sound)
    heard, heard_rate = read_libav(body if whole else Pipe(body))
    assert heard_rate == (48_000 if container == "opus" else encoder.sample_rate)
    assert loudest_hertz(heard, heard_rate) == pytest.approx(440, abs=3)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.06)
    padding = {"mp3": 0 if whole else 4 * 1152, "aac": 3 * 1024}.get(container, 0)
    assert 0 <= len(heard) - heard_rate <= padding


@pytest.mark.parametrize("container", ["wav", "mp3", "opus", "flac"])
def test_whole_bodies_have_the_exact_length_for_soundfile_too(container):
    body = encode_whole(AudioFormat(container=container), 24_000, tone(24_000, 1.2345))
    samples, rate = soundfile.read(io.BytesIO(body))
    assert (len(samples), rate) == (29_628, 24_000)


def test_a_streamed_wav_is_read_by_wave_and_soundfile():
    sound = tone(24_000)
    body = stream(AudioFormat(), 24_000, sound)
    with wave.open(io.BytesIO(body)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24_000, 1, 2)
        assert reader.readframes(reader.getnframes()) == to_s16(sound).tobytes()
    samples, rate = soundfile.read(io.BytesIO(body), dtype="int16")
    assert rate == 24_000
    np.testing.assert_array_equal(samples, to_s16(sound))


@pytest.mark.parametrize("whole", [False, True])
def test_float_wav_keeps_every_bit(whole):
    sound = np.random.default_rng(0).standard_normal(5000).astype(np.float32)  # beyond 1.0 as well
    format = AudioFormat(encoding="f32le")
    body = encode_whole(format, 22_050, sound) if whole else stream(format, 22_050, sound)
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    assert rate == 22_050
    np.testing.assert_array_equal(samples, sound)
    np.testing.assert_array_equal(read_libav(Pipe(body))[0], sound)


@pytest.mark.parametrize("encoding", ["s16le", "f32le"])
def test_a_whole_wav_states_its_exact_size(encoding):
    body = encode_whole(AudioFormat(encoding=encoding), 24_000, tone(24_000))
    data = body.index(b"data")
    assert int.from_bytes(body[4:8], "little") == len(body) - 8
    assert (
        int.from_bytes(body[data + 4 : data + 8], "little")
        == len(body) - data - 8
        == 24_000 * (2 if encoding == "s16le" else 4)
    )


@pytest.mark.parametrize(
    "format",
    [AudioFormat(container=name, encoding=how) for name in ("wav", "pcm") for how in ("s16le", "f32le")]
    + [AudioFormat(container="flac")],
    ids=lambda format: f"{format.container}-{format.encoding}",
)
@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 1500), max_size=12), seed=st.integers(0, 99))
def test_chunking_does_not_change_a_bit(format, cuts, seed):
    sound = (np.random.default_rng(seed).random(sum(cuts) + 100, np.float32) - 0.5) * 2.5
    encoder = make_encoder(format, 24_000)
    pieces = [encoder.feed(piece) for piece in np.split(sound, np.cumsum(cuts))]
    body = b"".join([*pieces, encoder.finish()])
    assert body == stream(format, 24_000, sound, step=len(sound))
    if format.container == "pcm":
        assert body == (to_s16(sound) if format.encoding == "s16le" else sound).tobytes()
    elif format.encoding == "s16le":
        np.testing.assert_array_equal(read_libav(body)[0], to_s16(sound).astype(np.float32) / 32768)


def test_a_streamed_flac_is_read_by_soundfile_piece_by_piece():
    sound = tone(24_000)  # not to its end: libsndfile seeks after a read, and a streamed FLAC leaves its length open
    with soundfile.SoundFile(io.BytesIO(stream(AudioFormat(container="flac"), 24_000, sound))) as reader:
        for at in range(0, 23_000, 1000):
            np.testing.assert_array_equal(reader.read(1000, dtype="int16"), to_s16(sound[at : at + 1000]))


def test_a_whole_flac_has_length_and_checksum():
    body = encode_whole(AudioFormat(container="flac"), 24_000, tone(24_000))
    assert soundfile.info(io.BytesIO(body)).frames == 24_000
    assert body[26:42] != bytes(16)  # MD5 of the samples


def test_samples_are_rounded_and_clipped_never_wrapped():
    given_ = np.array([0, 1, -1, 1.5, -7, 1e38, -1e38, np.inf, -np.inf, np.nan, 0.6 / 32768, -0.4 / 32768], np.float32)
    expected = [0, 32767, -32768, 32767, -32768, 32767, -32768, 32767, -32768, 0, 1, 0]
    assert to_s16(given_).tolist() == expected
    assert to_s16(np.empty(0, np.float32)).tolist() == []
    steps = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_s16(steps.astype(np.float32) / 32768), steps)


@pytest.mark.parametrize("container", BUILTIN)
def test_bad_samples_do_not_stop_an_encoder(container):
    sound = tone(24_000).copy()
    sound[5000:5010] = [np.nan, np.inf, -np.inf, 9, -9, 1e38, -1e38, np.nan, 2, -2]
    body = stream(AudioFormat(container=container), 24_000, sound)
    assert len(body) > 5000


@pytest.mark.parametrize("container", BUILTIN)
def test_nothing_fed_still_makes_a_body(container):
    for whole in (False, True):
        encoder = make_encoder(AudioFormat(container=container), 24_000, whole=whole)
        body = encoder.feed(np.empty(0, np.float32)) + encoder.finish()
        assert bool(body) == (container not in ("pcm", "aac", "mp3")) or (container == "mp3" and whole)


@pytest.mark.parametrize(
    ("container", "rate", "most"),
    [
        ("wav", 24_000, 0),
        ("mp3", 24_000, 3 * 576),
        ("mp3", 48_000, 3 * 1152),
        ("opus", 24_000, 2 * 480),
        ("opus", 48_000, 2 * 960),
        ("aac", 24_000, 3 * 1024),
        ("aac", 48_000, 3 * 1024),
        ("flac", 8_000, 320),
        ("flac", 24_000, 960),
    ],
)
def test_the_output_trails_the_input_by_little(container, rate, most):
    encoder = make_encoder(AudioFormat(container=container), rate)
    sound, step = tone(rate, 0.6), 160
    sent, trail = b"", 0
    for at in range(0, len(sound), step):
        sent += encoder.feed(sound[at : at + step])
        fed = at + step
        heard, heard_rate = read_libav(sent)
        trail = max(trail, fed - len(heard) * rate // (heard_rate or rate))
    encoder.close()
    assert trail <= most + step


def test_the_first_piece_of_a_wav_has_header_and_all_samples():
    encoder = make_encoder(AudioFormat(), 24_000)
    assert len(encoder.feed(tone(24_000)[:10])) == 44 + 20
    assert len(encoder.feed(tone(24_000)[:10])) == 20


@settings(max_examples=40)
@given(
    source=st.sampled_from(RATES),
    target=st.sampled_from((4000, *RATES, 96_000, 192_000)),
    cuts=st.lists(st.integers(1, 2000), min_size=1, max_size=6),
)
def test_resampled_length_is_exact(source, target, cuts):
    sound = np.zeros(sum(cuts), np.float32)
    encoder = make_encoder(AudioFormat(container="pcm", encoding="f32le", sample_rate=target), source)
    body = b"".join([*(encoder.feed(piece) for piece in np.split(sound, np.cumsum(cuts)[:-1])), encoder.finish()])
    assert abs(len(body) / 4 - len(sound) * target / source) <= 0.5


def test_resampling_is_clean_and_in_time():
    sound = tone(24_000, 1.0, 1000)
    format = AudioFormat(container="pcm", encoding="f32le", sample_rate=44_100)
    heard = np.frombuffer(stream(format, 24_000, sound), np.float32)
    ideal = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    assert np.abs(heard - ideal)[2000:-2000].max() < 1e-4  # no click between chunks, no shift
    whole = np.frombuffer(encode_whole(format, 24_000, sound), np.float32)
    np.testing.assert_allclose(heard, whole, atol=1e-6)


def test_downsampling_removes_frequencies_that_would_alias():
    sound = tone(24_000, 1.0, 7000)
    body = stream(AudioFormat(container="pcm", encoding="f32le", sample_rate=8000), 24_000, sound)
    assert np.abs(np.frombuffer(body, np.float32)[500:-500]).max() < 1e-4


@pytest.mark.parametrize(
    ("container", "source", "bitrate", "expected"),
    [
        ("wav", 24_000, None, 24_000),
        ("pcm", 37_800, None, 37_800),
        ("flac", 44_100, None, 44_100),
        ("opus", 22_050, None, 24_000),
        ("opus", 44_100, None, 48_000),
        ("opus", 96_000, None, 48_000),
        ("mp3", 24_000, None, 24_000),
        ("mp3", 24_000, 320, 32_000),
        ("mp3", 48_000, 8, 24_000),
        ("aac", 4000, None, 7350),
        ("aac", 192_000, None, 96_000),
    ],
)
def test_the_rate_when_none_is_asked_for(container, source, bitrate, expected):
    encoder = make_encoder(AudioFormat(container=container, bitrate=bitrate), source)
    encoder.close()
    assert encoder.sample_rate == expected


@pytest.mark.parametrize("container", ["mp3", "opus", "aac"])
def test_every_rate_and_bitrate_that_is_allowed_can_be_made(container):
    spec = BUILTIN[container]
    for rate in spec.sample_rates:
        bitrates = spec.bitrates(rate)
        for bitrate in {None, bitrates[0], bitrates[len(bitrates) // 2], bitrates[-1]}:
            format = AudioFormat(container=container, sample_rate=rate, bitrate=bitrate)
            assert read_libav(encode_whole(format, rate, tone(rate, 0.25)))[0].size >= rate // 4


def test_the_bitrate_is_the_requested_one():
    size = {
        kbit: len(stream(AudioFormat(container="mp3", bitrate=kbit), 24_000, tone(24_000, 2))) for kbit in (32, 64, 160)
    }
    for kbit, length in size.items():
        assert length == pytest.approx(kbit * 250, rel=0.08)


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ({"container": "mp4"}, "aac, flac, mp3, opus, pcm, wav"),
        ({"container": "opus", "sample_rate": 44_100}, "8000, 12000, 16000, 24000, 48000 Hz"),
        ({"container": "mp3", "sample_rate": 96_000}, "44100, 48000 Hz"),
        ({"container": "mp3", "sample_rate": 24_000, "bitrate": 320}, "144, 160 kbit/s"),
        ({"container": "mp3", "bitrate": 65}, "56, 64, 80"),
        ({"container": "opus", "bitrate": 300}, "from 8 to 256 kbit/s"),
        ({"container": "aac", "sample_rate": 8000, "bitrate": 128}, "from 8 to 48 kbit/s"),
        ({"container": "wav", "bitrate": 64}, "wav has no bitrate"),
        ({"container": "flac", "bitrate": 64}, "flac has no bitrate"),
        ({"container": "mp3", "encoding": "f32le"}, "no choice of sample encoding"),
    ],
)
def test_a_format_that_a_container_cannot_carry_is_refused_up_front(format, words):
    with pytest.raises(InvalidRequest, match=words) as caught:
        check_format(AudioFormat(**format))
    assert caught.value.detail["field"].startswith("format.")
    with pytest.raises(InvalidRequest):
        make_encoder(AudioFormat(**format), 24_000)


def test_a_plugin_can_add_a_container():
    mine = EncoderSpec(
        name="raw8k",
        media_type="audio/x-raw",
        extension="raw",
        factory=BUILTIN["pcm"].factory,
        sample_rates=(8000,),
    )
    encoders = {**BUILTIN, mine.name: mine}
    assert len(encode_whole(AudioFormat(container="raw8k"), 24_000, tone(24_000), encoders)) == 16_000
    assert check_format(AudioFormat(container="raw8k"), encoders) is mine


@pytest.mark.parametrize("container", BUILTIN)
@pytest.mark.parametrize("target", [None, 16_000])
def test_an_encoder_states_media_type_extension_and_rate(container, target):
    encoder = make_encoder(AudioFormat(container=container, sample_rate=target), 24_000)
    spec = BUILTIN[container]
    assert encoder.media_type.startswith(spec.media_type)
    assert encoder.extension == spec.extension
    assert encoder.sample_rate == (target or 24_000)
    encoder.close()


def test_pcm_says_how_to_read_it():
    encoder = make_encoder(AudioFormat(container="pcm", encoding="f32le"), 22_050)
    assert encoder.media_type == "audio/pcm;rate=22050;encoding=f32le;channels=1"


@pytest.mark.parametrize("container", BUILTIN)
def test_close_may_be_called_at_any_time_and_twice(container):
    for fed in (0, 1, 3):
        encoder = make_encoder(AudioFormat(container=container, sample_rate=16_000), 24_000)
        for _ in range(fed):
            encoder.feed(tone(24_000, 0.1))
        encoder.close()
        encoder.close()
    finished = make_encoder(AudioFormat(container=container), 24_000)
    finished.feed(tone(24_000))
    finished.finish()
    finished.close()
    finished.close()


@pytest.mark.parametrize("container", COMPRESSED)
def test_a_closed_encoder_says_so(container):
    encoder = make_encoder(AudioFormat(container=container), 24_000)
    encoder.feed(tone(24_000, 0.1))
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.feed(tone(24_000, 0.1))
    with pytest.raises(ValueError, match="closed"):
        encoder.finish()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("container", COMPRESSED)
def test_an_encoder_that_was_never_closed_is_freed_safely(container, whole):
    for _ in range(5):
        encoder = make_encoder(AudioFormat(container=container, sample_rate=16_000), 24_000, whole=whole)
        encoder.feed(tone(24_000, 0.1))
        del encoder
        gc.collect()


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.parametrize("container", BUILTIN)
def test_encoders_closed_midway_leave_nothing_behind(container):
    format, sound = AudioFormat(container=container, sample_rate=16_000), tone(24_000, 0.2)

    def abandon(times):
        for _ in range(times):
            encoder = make_encoder(format, 24_000)
            encoder.feed(sound)
            encoder.close()
        gc.collect()
        return resident_bytes(), len(os.listdir("/proc/self/fd"))

    abandon(60)
    rounds = [abandon(60) for _ in range(6)]
    memory, descriptors = zip(*rounds, strict=True)
    # A server of another test in this process may close its own once meanwhile; a leak grows with every round.
    assert np.median(np.diff(descriptors)) == 0
    # The allocator takes and returns a few megabytes now and then.
    assert min(np.diff(memory)) < 60 * 4000
