"""Frames arrive whole however their bytes are split, and other bytes are refused."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contract import AudioChunk, Done, Fault, ModelConfig, SpeechRequest
from hub.engine import wire

MESSAGES = [
    wire.Event(1, AudioChunk(b"\x00\x00\x80?" * 10, 24_000, span=(0, 3))),
    wire.Event(1, Done({"retries": 1})),
    wire.Event(2, Fault("backend_failed", "no", {"a": [1, None]})),
    wire.Answer(3, value=wire.raw({"x": 1})),
    wire.Ready(contract=1, concurrency=4),
]


@given(cuts=st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=40))
def test_frames_come_out_whole_however_the_bytes_arrive(cuts):
    data = b"".join(map(wire.frame, MESSAGES))
    buffer = wire.FrameBuffer(wire.to_hub_decoder)
    received, position, turn = [], 0, 0
    while position < len(data):
        step = cuts[turn % len(cuts)]
        received += buffer.feed(data[position : position + step])
        position, turn = position + step, turn + 1
    assert received == MESSAGES


def test_a_blocking_reader_sees_the_same_and_none_at_the_end():
    load = wire.Load(synthesizer="m:C", model=ModelConfig(name="x", options={"a": 1}))
    start = wire.Start(1, wire.raw(SpeechRequest(text="hi", speed=1.5)), "r-1")
    pipe = io.BytesIO(wire.frame(load) + wire.frame(start) + b"\x09\x00")
    assert wire.read_frame(pipe.read, wire.to_worker_decoder) == load
    received = wire.read_frame(pipe.read, wire.to_worker_decoder)
    assert isinstance(received, wire.Start)
    assert msgspec.msgpack.decode(received.request, type=SpeechRequest) == SpeechRequest(text="hi", speed=1.5)
    assert wire.read_frame(pipe.read, wire.to_worker_decoder) is None


def test_text_printed_into_the_pipe_is_refused():
    buffer = wire.FrameBuffer(wire.to_hub_decoder)
    with pytest.raises(wire.FrameError, match="something else writes to the pipe"):
        buffer.feed(b"Loading checkpoint shards: 100%")


def test_a_field_from_a_newer_hub_reaches_an_older_worker_only_when_it_is_used():
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(SpeechRequest(text="hi")))
    assert plain == {"text": "hi"}
