"""`WS /v1/tts/live`, message by message."""

import contextlib
import time

import msgspec
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plugins.fish_speech.tests.support.served import FRAME

START = {"event": "start", "request": {"text": "", "format": "pcm", "max_new_tokens": 6, "seed": 3}}


class Live:
    """A socket that speaks msgpack."""

    def __init__(self, socket):
        self.socket = socket

    def send(self, event):
        self.socket.send(msgspec.msgpack.encode(event))

    def say(self, *pieces, start=START):
        self.send(start)
        for piece in pieces:
            self.send({"event": "text", "text": piece})
        self.send({"event": "stop"})
        return self.answer()

    def answer(self):
        """The audio up to the `finish`, and that."""
        audio = b""
        while True:
            event = msgspec.msgpack.decode(self.socket.recv(timeout=60))
            if event["event"] == "finish":
                return np.frombuffer(audio, "<i2"), event
            assert event["event"] == "audio"
            audio += event["audio"]


@pytest.fixture
def live(fish_hub):
    with connect(f"ws://127.0.0.1:{fish_hub.port}/v1/tts/live") as socket:
        yield Live(socket)


def test_several_utterances_on_one_socket(live):
    first, finish = live.say("Hello ", "there.")
    assert finish == {"event": "finish", "reason": "stop"}
    assert len(first) == pytest.approx(6 * FRAME, abs=FRAME)
    again, _ = live.say("Hello there.")
    assert np.abs(first.astype(int) - again).max() <= 2  # the same text and seed, dithered anew
    start = {"event": "start", "request": {**START["request"], "text": "Hello "}}
    begun, _ = live.say("there.", start=start)
    assert np.abs(first.astype(int) - begun).max() <= 2
    null = {"event": "start", "request": {**START["request"], "text": None, "references": None, "top_p": None}}
    begun, _ = live.say("Hello there.", start=null)
    assert np.abs(first.astype(int) - begun).max() <= 2


def test_flush_speaks_what_is_there(live):
    live.send(START)
    live.send({"event": "text", "text": "No full stop here"})
    live.send({"event": "flush"})
    live.send({"event": "text", "text": " and more"})
    live.send({"event": "stop"})
    audio, finish = live.answer()
    assert finish["reason"] == "stop"
    assert len(audio) >= 5 * FRAME


def test_an_utterance_without_text_gives_no_audio(live):
    audio, finish = live.say()
    assert (len(audio), finish) == (0, {"event": "finish", "reason": "stop"})


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"event": "start"}, "needs its request"),
        ({"event": "start", "request": []}, "needs its request"),
        ({"event": "start", "request": {"format": "midi"}}, "format"),
        ({"event": "start", "request": {"reference_id": "nobody", "text": "Hi."}}, "nobody"),
        ({"event": "start", "request": {"prosody": {"volume": 1}}}, "volume"),
    ],
)
def test_a_wrong_start_is_an_error_and_another_may_follow(live, start, words):
    live.send(start)
    live.send({"event": "text", "text": "for nobody"})
    live.send({"event": "stop"})
    _, finish = live.answer()
    assert finish["reason"] == "error"
    assert words in finish["message"]
    _, finish = live.say("Hello there.")
    assert finish["reason"] == "stop"


@pytest.mark.parametrize(
    "frame", [b"", b"\xc1", b"\x90", "text", "[]", b"\x81\xa5event\xa4none", b"\x81\xa5event\xa4text", "[" * 9999]
)
def test_odd_messages(live, frame):
    live.socket.send(frame)
    _, finish = live.answer()
    assert (finish["reason"], finish["code"]) == ("error", "invalid_request")


def test_a_second_start_ends_the_first_with_an_error(live):
    live.send(START)
    live.send({"event": "text", "text": "One sentence. "})
    live.send(START)
    _, finish = live.answer()
    assert "an utterance is open" in finish["message"]
    _, finish = live.say("Hello there.")
    assert finish["reason"] == "stop"


def test_a_client_that_leaves_stops_the_model(fish_hub, live):
    live.send({**START, "request": {"text": "On and on. " * 50, "format": "pcm"}})
    live.socket.recv(timeout=60)
    live.socket.close()
    for _ in range(400):
        if fish_hub.client.get("/v1/health").json()["models"][0]["running"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the model still speaks")


def test_a_web_page_of_another_origin_is_refused(fish_hub):
    url = f"ws://127.0.0.1:{fish_hub.port}/v1/tts/live"
    with connect(url, origin="http://elsewhere.example") as socket, contextlib.suppress(ConnectionClosed):
        socket.recv(timeout=10)
    assert socket.close_code == 4403
