"""The codecs of Fish Speech: decoding in pieces gives the sound of decoding at once, on every architecture."""

from __future__ import annotations

import math
import random
import threading
from pathlib import Path

import pytest
import torch
from hub_fish_speech.model.codec.codec import Codec, CodecStream

from hub.contract.errors import InvalidAudio
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support import codecs

FRAMES = 40


@pytest.fixture(scope="module", params=list(codecs.CODECS))
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder: Path = tmp_path_factory.mktemp("codec")
    return codecs.load(codecs.build(request.param, folder).write(folder))


@pytest.fixture(scope="module")
def codes(codec: Codec) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return random_codes(codec, FRAMES, generator)


@pytest.fixture(scope="module")
def sound(codec: Codec, codes: torch.Tensor) -> torch.Tensor:
    """All codes at once, in a single window."""
    return at_once(codec, codes)


def random_codes(codec: Codec, frames: int, generator: torch.Generator) -> torch.Tensor:
    rows = [torch.randint(0, entries, (frames,), generator=generator) for entries in codec.network.entries]
    return torch.stack(rows)


@torch.inference_mode()
def at_once(codec: Codec, codes: torch.Tensor) -> torch.Tensor:
    state: dict = {}
    return codec.network.synthesise(codec.network.dequantize(codec.usable(codes), state), state)[0]


def fed(stream: CodecStream, codes: torch.Tensor, packets: list[int]) -> list[torch.Tensor]:
    return [stream.feed(part) for part in codes.split(packets, dim=1)]


def packets_of(total: int, chance: random.Random, largest: int) -> list[int]:
    sizes: list[int] = []
    while (left := total - sum(sizes)) > 0:
        sizes.append(min(left, chance.randint(0, largest)))
    return sizes


def test_every_frame_gives_its_samples_and_they_are_alive(codec, codes, sound):
    assert sound.shape == (FRAMES * codec.frame,)
    assert sound.abs().max() <= 1
    assert sound.unfold(0, codec.frame, codec.frame).std(1).min() > 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_packets_of_any_size_give_the_sound_of_all_codes_at_once(codec, codes, sound, seed):
    packets = packets_of(FRAMES, random.Random(seed), [1, 3, 11, 30][seed])
    stream = codec.stream()
    pieces = fed(stream, codes, packets)
    assert [len(piece) for piece in pieces] == [size * codec.frame for size in packets]
    assert len(stream.finish()) == 0
    torch.testing.assert_close(torch.cat(pieces), sound, atol=1e-5, rtol=0)


def test_a_decode_in_windows_is_the_decode_at_once(codec, codes, sound):
    assert codec.window < FRAMES
    torch.testing.assert_close(codec.decode(codes), sound, atol=1e-5, rtol=0)


def test_a_prefix_sounds_as_the_beginning_of_the_whole(codec, codes, sound):
    torch.testing.assert_close(codec.decode(codes[:, :7]), sound[: 7 * codec.frame], atol=1e-5, rtol=0)


def test_the_past_matters_to_what_follows(codec, codes, sound):
    alone = codec.decode(codes[:, 20:22])
    assert (alone - sound[20 * codec.frame : 22 * codec.frame]).abs().max() > 1e-3


def test_streams_in_threads_do_not_mix(codec):
    many = [random_codes(codec, 24, torch.Generator().manual_seed(seed)) for seed in range(4)]
    alone = [at_once(codec, codes) for codes in many]
    together: dict[int, torch.Tensor] = {}
    start = threading.Barrier(len(many))

    def decode(index: int) -> None:
        start.wait(10)
        packets = packets_of(24, random.Random(index), 5)
        together[index] = torch.cat(fed(codec.stream(), many[index], packets))

    threads = [threading.Thread(target=decode, args=(index,)) for index in range(len(many))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for index, expected in enumerate(alone):
        torch.testing.assert_close(together[index], expected, atol=1e-5, rtol=0)


def test_a_stream_holds_no_more_after_many_frames_than_after_few(codec):
    generator = torch.Generator().manual_seed(5)
    stream = codec.stream()

    def held() -> int:
        tensors = [
            each for value in stream._state.values() for each in (value if isinstance(value, tuple) else [value])
        ]
        return sum(each.untyped_storage().nbytes() for each in tensors if isinstance(each, torch.Tensor))

    stream.feed(random_codes(codec, 150, generator))
    early = held()
    for _ in range(10):
        stream.feed(random_codes(codec, 17, generator))
    assert held() == early
    stream.finish()
    assert held() == 0


def test_ids_beyond_a_codebook_count_as_its_last_and_the_input_stays(codec, codes):
    last = torch.tensor(codec.network.entries)[:, None] - 1
    over = codes.clone()
    over[:, 3] += 100_000
    over[:, 5] = -1
    expected = over.clamp(min=0).minimum(last)
    before = over.clone()
    assert alike(codec.decode(over).numpy(), codec.decode(expected).numpy())
    assert torch.equal(over, before)


def test_rows_of_a_model_with_more_codebooks_are_cut_and_missing_ones_are_reported(codec, codes):
    more = torch.cat((codes, codes[:1]))
    assert alike(codec.decode(more).numpy(), codec.decode(codes).numpy())
    with pytest.raises(ValueError, match=f"{codec.codebooks} rows"):
        codec.decode(codes[1:])


def test_no_codes_no_sound(codec, codes):
    assert codec.decode(codes[:, :0]).shape == (0,)
    assert codec.stream().finish().shape == (0,)


def test_a_long_recording_is_encoded_in_windows_with_the_codes_of_one(codec):
    wave = recording(codec, 30.4)
    in_windows = codec.encode(wave)
    whole = codec.network.encode(wave[None], 1000)[0]
    assert in_windows.dtype == torch.int64
    assert in_windows.shape == (codec.codebooks, 31)
    assert torch.equal(in_windows, whole)
    assert all(len(row.unique()) > 1 for row in in_windows)  # the codes follow the sound


@pytest.mark.parametrize("factors", [[2], [3], [2, 2], [2, 2, 2]])
def test_the_dac_fills_a_recording_up_to_four_of_its_encoders_steps(factors, tmp_path):
    """For all factors. The columns follow from that, and the vendor counts them as if a column were four steps."""
    built = codecs.build("dac", tmp_path, sizes=codecs.dac(downsample_factor=factors))
    codec = codecs.load(built.write(tmp_path))
    network, wave = codec.network, torch.zeros(5 * 16 + 1)  # 16 samples a step
    assert network.filled_up(wave[None]).shape == (1, 8 * 16, 1)
    assert codec.encode(wave).shape[1] == -(-8 // math.prod(factors))
    assert codec.filled(len(wave)) == 2
    assert len(codec.decode(torch.zeros(3, 2, dtype=torch.int64))) == 2 * 16 * math.prod(factors)


def test_a_recording_that_is_too_short_is_refused_by_its_length(codec):
    shortest = codec.network.shortest
    assert codec.encode(recording(codec, 1)[:shortest]).shape[1] >= 1
    with pytest.raises(InvalidAudio, match="at least"):
        codec.encode(torch.zeros(shortest - 1))


def test_a_recording_must_fill_a_window_of_the_mel_that_is_longer_than_usual(tmp_path):
    sizes = codecs.firefly()
    sizes["spec_transform"]["n_fft"] = 192
    codec = codecs.load(codecs.build("firefly", tmp_path, sizes=sizes).write(tmp_path))
    assert codec.network.shortest == 96
    assert codec.encode(recording(codec, 1)[:96]).shape[1] == 1
    with pytest.raises(InvalidAudio, match="at least"):
        codec.encode(torch.zeros(95))


def recording(codec: Codec, frames: float) -> torch.Tensor:
    """Noise that swells, so that the codes have something to follow."""
    length = round(frames * codec.frame)
    noise = torch.randn(length, generator=torch.Generator().manual_seed(9))
    return 0.3 * noise * torch.linspace(0, 12, length).sin()
