"""WS /v1/speech/live with real clients: text in pieces, both kinds of models, and every way to leave."""

import base64
import contextlib
import json
import socket
import struct

import msgspec
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hub.settings import (
    ApiKey,
    AuthSettings,
    CorsSettings,
    LimitSettings,
    LiveSettings,
    ModelSettings,
    PluginSettings,
    Settings,
    WorkerSettings,
)
from hub.testing import tone
from hub.testing.fixtures import serve_hub

MODELS = {
    "tone": ModelSettings(backend="tone"),
    "live": ModelSettings(backend="tone", options={"live_text": True}),
}
ONE_PLACE = {
    "tone": ModelSettings(backend="tone", options={"concurrency": 1}),
    "live": ModelSettings(backend="tone", options={"concurrency": 1, "live_text": True}),
}
PCM = {"container": "pcm"}
ENDLESS = {"seconds": 3600.0, "paced": True, "lead_ms": 0}
SLOW = {"paced": True, "lead_ms": 0}


class Client:
    """A websocket that speaks the protocol, in JSON or msgpack."""

    def __init__(self, ws, packed=False):
        self.ws = ws
        self.packed = packed

    def send(self, type, **fields):
        message = {"type": type, **fields}
        self.ws.send(msgspec.msgpack.encode(message) if self.packed else json.dumps(message))

    def say(self, *pieces, **fields):
        """Send a complete utterance."""
        for piece in pieces:
            self.send("text", text=piece, **fields)
        self.send("done")

    def event(self):
        """The next event, with its announced frame."""
        frame = self.ws.recv(timeout=30)
        assert isinstance(frame, bytes) == self.packed
        event = msgspec.msgpack.decode(frame) if self.packed else json.loads(frame)
        if event["type"] == "audio":
            event["inline"] = "audio" in event
            if not event["inline"]:
                event["audio"] = self.ws.recv(timeout=30)
            elif not self.packed:
                event["audio"] = base64.b64decode(event["audio"])
            assert len(event["audio"]) == event["size"]
        return event

    def until(self, *types):
        """All events up to one of these types."""
        events = [self.event()]
        while events[-1]["type"] not in types:
            events.append(self.event())
        return events

    def ended(self):
        return self.until("done", "fault")

    def configure(self, **fields):
        self.send("configure", **{"format": PCM, **fields})
        answer = self.event()
        assert answer["type"] == "configured", answer
        return answer


@pytest.fixture(scope="module")
def live(served_once):
    running = served_once(models=MODELS)
    running.wait_ready()
    return running


@contextlib.contextmanager
def opened(live, *, packed=False, **options):
    with connect(live.url.replace("http", "ws") + "/v1/speech/live", **options) as ws:
        yield Client(ws, packed)


@pytest.fixture
def client(live):
    with opened(live) as client:
        yield client


def samples(events):
    return np.frombuffer(b"".join(e["audio"] for e in events if e["type"] == "audio"), "<i2") / 32768


def marks(events, kind="sentence"):
    return [event for event in events if event["type"] == "mark" and event["kind"] == kind]


def heard(events):
    """The text that the audio of each sentence plays, cut out by the times of its mark."""
    audio, rate = samples(events), tone.SAMPLE_RATE
    return [tone.decode(audio[round(m["start"] * rate) : round(m["end"] * rate)], rate) for m in marks(events)]


PIECES = ["I met Dr", ". Smith on Mon", "day.", " He ", "said: “Hi!”", "\nIt was 3.", "5 km. 你好", "。再见。"]
SENTENCES = ["I met Dr. Smith on Monday.", "He said: “Hi!”", "It was 3.5 km.", "你好。", "再见。"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("audio", ["binary", "base64"])
def test_sentences_are_spoken_in_one_stream_with_exact_marks(live, packed, audio):
    with opened(live, packed=packed) as client:
        assert client.configure(audio=audio)["model"] == "tone"
        client.say(*PIECES)
        events = client.ended()
    assert [events[0]["type"], events[-1]["type"]] == ["started", "done"]
    assert {event["utterance"] for event in events} == {"u1"}
    assert heard(events) == SENTENCES
    text = "".join(PIECES)
    assert [text[slice(*mark["span"])] for mark in marks(events)] == SENTENCES
    assert not any(mark["estimated"] for mark in marks(events))
    assert all(event["inline"] == (audio == "base64") for event in events if event["type"] == "audio")
    assert events[-1]["seconds"] == pytest.approx(len(samples(events)) / tone.SAMPLE_RATE)
    assert events[-1]["report"] == {"sentences": 5}


def test_a_model_that_reads_live_text_gets_the_pieces(client):
    client.configure(model="live")
    client.say(*PIECES)
    events = client.ended()
    assert tone.decode(samples(events), tone.SAMPLE_RATE) == "".join(PIECES)
    assert [mark["text"] for mark in marks(events)] == SENTENCES


@pytest.mark.parametrize("model", ["tone", "live"])
def test_speech_begins_before_the_text_has_ended(client, model):
    client.configure(model=model)
    client.send("text", text="The first sentence. And")
    assert client.until("audio")[0]["type"] == "started"
    client.send("text", text=" the second.")
    client.send("done")
    last = client.ended()[-1]
    assert (last["type"], last["utterance"]) == ("done", "u1")


def test_flush_speaks_the_text_so_far(client):
    client.configure()
    client.send("text", text="Well, so")
    client.send("flush")
    assert client.until("mark")[-1]["text"] == "Well, so"
    client.say(" it goes")
    assert [mark["text"] for mark in marks(client.ended())] == ["it goes"]


def test_words_are_marked_on_request(client):
    client.configure(words=True)
    client.say("Hello there. Bye.")
    words = marks(client.ended(), "word")
    assert [(word["text"], word["estimated"]) for word in words] == [("Hello", True), ("there.", True), ("Bye.", True)]
    client.configure(words=True, options={"marks": True})
    client.say("Hello there. Bye.")
    words = marks(client.ended(), "word")
    assert [(word["text"], word["estimated"]) for word in words] == [
        ("Hello", False),
        ("there.", False),
        ("Bye.", False),
    ]


def test_utterances_are_spoken_in_order_each_with_its_configuration(client):
    client.configure(voice="low")
    client.say("The first utterance.", utterance="one")
    client.configure(voice="high")
    client.say("The second utterance.")
    client.say("The third.", utterance="three")
    got = {}
    for _ in range(3):
        events = [event for event in client.ended() if event["type"] != "configured"]
        (name,) = {event["utterance"] for event in events}
        got[name] = (events[0]["voice"], heard(events))
    assert got == {
        "one": ("low", ["The first utterance."]),
        "u1": ("high", ["The second utterance."]),
        "three": ("high", ["The third."]),
    }
    assert list(got) == ["one", "u1", "three"]


def test_an_id_cannot_be_reused_until_its_utterance_ends(client):
    client.configure(options=ENDLESS)
    client.say("Endless.", utterance="mine")
    client.send("text", text="Another", utterance="mine")
    fault = client.until("fault")[-1]
    assert (fault["code"], fault.get("utterance")) == ("conflict", None)
    client.send("cancel")
    client.ended()
    client.configure()
    client.say("Again.", utterance="mine")
    assert heard(client.ended()) == ["Again."]


@pytest.mark.parametrize("model", ["tone", "live"])
def test_one_utterance_is_cancelled_and_the_socket_goes_on(served, model):
    live = served(models=ONE_PLACE)
    live.wait_ready()
    with opened(live) as client:
        client.configure(model=model, options={**SLOW, "chunk_ms": 40})
        client.send(
            "text", text="A long text that takes quite a while to play, if no one stops it. " * 20, utterance="a"
        )
        client.send("done")
        client.until("audio")
        client.say("Never spoken.", utterance="b")
        client.say("Spoken.", utterance="c")
        client.send("cancel", utterance="b")
        client.send("cancel")
        ended = client.ended()[-1]
        assert (ended["utterance"], ended["cancelled"]) == ("a", True)
        assert ended["seconds"] < 20
        assert live.reports.ended.get(timeout=30).outcome == "cancelled"
        ended = client.event()
        assert (ended["type"], ended["utterance"], ended["cancelled"]) == ("done", "b", True)
        events = client.ended()
        assert {event["utterance"] for event in events} == {"c"}
        assert not events[-1].get("cancelled")


def test_the_open_utterance_is_cancelled_and_the_next_text_opens_another(client):
    client.configure(options=SLOW)
    client.send("text", text="This sentence is never complete, it waits for its", utterance="a")
    client.send("cancel")
    client.say("Spoken.")
    assert client.ended()[-1] == {"type": "done", "utterance": "a", "seconds": 0.0, "cancelled": True}
    events = client.ended()
    assert (events[-1]["utterance"], heard(events)) == ("u1", ["Spoken."])


def test_the_handshake_has_the_request_id(live):
    with opened(live, additional_headers={"X-Request-Id": "mine-7"}) as client:
        assert client.ws.response.headers["x-request-id"] == "mine-7"


def test_cancelling_nothing_is_an_error(client):
    client.send("cancel", utterance="nobody")
    assert client.event()["code"] == "not_found"
    client.send("cancel")
    assert client.event()["code"] == "not_found"


@pytest.mark.parametrize("model", ["tone", "live"])
@pytest.mark.parametrize(
    ("fields", "text", "code"),
    [
        ({"voice": "nobody"}, "Hello.", "unknown_voice"),
        ({"options": {"fail_at": 0}}, "Hello.", "backend_failed"),
        ({"options": {"silent": True}}, "Hello there.", "empty_audio"),
        ({}, "?!", "unspeakable_text"),
        ({}, "", "empty_text"),
    ],
)
def test_an_utterance_that_fails_has_the_error_of_http_and_the_next_is_spoken(client, model, fields, text, code):
    client.configure(model=model, **fields)
    client.say(text)
    (fault,) = client.ended()
    assert (fault["type"], fault["utterance"], fault["code"]) == ("fault", "u1", code)
    assert len(fault["message"]) > 10
    client.configure(model=model)
    client.say("It goes on.")
    assert client.ended()[-1]["type"] == "done"


@pytest.mark.parametrize("model", ["tone", "live"])
def test_a_fault_in_the_middle_ends_the_utterance_and_its_text_is_dropped(client, model):
    client.configure(model=model, options={"fail_at": 5})
    client.send("text", text="A text that is long enough for several chunks. And")
    events = client.ended()
    assert events[0]["type"] == "started"
    assert (events[-1]["type"], events[-1]["code"]) == ("fault", "backend_failed")
    client.say(" this is lost with it.")
    client.configure(model=model)
    client.say("This is not.")
    assert "This is not." in tone.decode(samples(client.ended()), tone.SAMPLE_RATE)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("nonsense", "not valid JSON"),
        ('{"type": "shout"}', "type"),
        ('{"type": "text"}', "text"),
        ('{"type": "text", "text": "a", "loud": true}', "loud"),
        ('{"type": "configure", "speed": 9}', "speed"),
        ('{"type": "configure", "text": "a"}', "`text` messages"),
        ('{"type": "configure", "model": "nobody"}', "there are: tone, live"),
        ('{"type": "configure", "instruct": "Whisper."}', "instruct"),
        ('{"type": "configure", "format": {"container": "midi"}}', "midi"),
        ('{"type": "done"}', "no utterance is open"),
        ('{"type": "flush"}', "no utterance is open"),
        ("[" * 100_000, ""),
        (b"\xc1", "not valid msgpack"),
        (b"\x91" * 1000, ""),
        (msgspec.msgpack.encode({"type": "text", "text": 5}), "text"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_invalid_message_is_reported_and_ignored(live, frame, words):
    with opened(live, packed=isinstance(frame, bytes)) as client:
        client.ws.send(frame)
        fault = client.event()
        assert fault["type"] == "fault"
        assert "utterance" not in fault
        assert words in fault["message"]
        client.say("Go on.")
        assert client.ended()[-1]["type"] == "done"


def test_text_over_the_limit(served):
    live = served(limits=LimitSettings(text_chars=100))
    with opened(live) as client:
        client.configure()
        for _ in range(20):
            client.send("text", text="ten chars ")
        assert client.ended()[-1]["code"] == "too_large"
        client.send("done")
        client.say("Short.")
        assert client.ended()[-1]["type"] == "done"


def test_one_utterance_too_many_is_refused(served):
    live = served(live=LiveSettings(utterances=2))
    with opened(live) as client:
        client.configure(options=ENDLESS)
        for name in "abc":
            client.say("Endless.", utterance=name)
        fault = client.until("fault")[-1]
        assert (fault["utterance"], fault["code"]) == ("c", "queue_full")


def test_a_message_over_the_limit_closes_with_1009(served):
    live = served(live=LiveSettings(message_bytes=2000))
    with opened(live) as client:
        client.send("text", text="a" * 3000)
        with pytest.raises(ConnectionClosed) as closed:
            client.event()
        assert closed.value.rcvd.code == 1009


def test_an_idle_socket_is_closed_but_not_while_the_hub_speaks(served):
    live = served(live=LiveSettings(idle_timeout=0.3))
    live.wait_ready()
    with opened(live) as client:
        client.configure(options={"paced": True, "lead_ms": 0, "step_ms": 400, "chunk_ms": 400})
        client.say("Thirty letters, over a second.")
        assert client.ended()[-1]["type"] == "done"
        client.send("text", text="And then noth")
        closed = client.event()
        assert (closed["type"], closed["code"]) == ("closed", 4408)
        with pytest.raises(ConnectionClosed) as raised:
            client.event()
        assert raised.value.rcvd.code == 4408


def test_close_speaks_all_text(client):
    client.configure()
    client.send("text", text="To the very end")
    client.send("close")
    client.send("text", text="too late")
    events = client.until("closed")
    assert [event["code"] for event in events if event["type"] == "fault"] == ["invalid_request"]
    assert heard(events) == ["To the very end"]
    assert events[-1]["code"] == 1000
    with pytest.raises(ConnectionClosed) as raised:
        client.event()
    assert raised.value.rcvd.code == 1000


def break_off(ws):
    """Reset the connection without a close frame, as a machine does that loses power and comes back."""
    ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.socket.close()


@pytest.mark.parametrize("model", ["tone", "live"])
@pytest.mark.parametrize("ended", [False, True])
def test_an_abrupt_end_frees_the_model(served, model, ended):
    live = served(models=ONE_PLACE)
    live.wait_ready()
    with opened(live) as client:
        client.configure(model=model, options=SLOW)
        client.send("text", text="A long text that takes quite a while to play, if no one stops it. " * 20)
        if ended:
            client.send("done")
        client.until("audio")
        break_off(client.ws)
        report = live.reports.ended.get(timeout=30)
        assert report.outcome == "cancelled"
        assert live.speak("The only place is free.", model=model).status_code == 200


def test_a_client_that_leaves_also_leaves_the_queue(served):
    live = served(models=ONE_PLACE)
    live.wait_ready()
    body = {"text": "endless", "stream": True, "options": ENDLESS}
    with live.client.stream("POST", "/v1/speech", json=body), opened(live) as client:
        client.say("Waiting.")
        while not live.client.get("/v1/health").json()["models"][0]["waiting"]:
            pass
        break_off(client.ws)
        assert live.reports.ended.get(timeout=30).outcome == "cancelled"
        assert live.client.get("/v1/health").json()["models"][0]["waiting"] == 0


def test_waiting_for_text_takes_no_place_at_a_model_that_speaks_sentences(served):
    live = served(models=ONE_PLACE)
    live.wait_ready()
    with opened(live) as client:
        client.configure()
        client.send("text", text="One sentence. And a half")
        client.until("mark")
        assert live.speak("Another caller.", model="tone").status_code == 200
        client.send("done")
        assert [mark["text"] for mark in marks(client.ended())] == ["And a half"]


@pytest.mark.parametrize("model", ["tone", "live"])
def test_a_client_that_does_not_read_is_bounded_and_then_cut_off(served, model):
    live = served(models=MODELS, worker=WorkerSettings(buffer_seconds=2, stall_timeout=1))
    live.wait_ready()
    texts = "A sentence of some length, to be spoken many times over. " * 700
    with opened(live, max_queue=1, close_timeout=0.1) as client:
        client.ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.configure(model=model, format={"container": "pcm", "sample_rate": 48_000, "encoding": "f32le"})
        client.say(texts)
        client.until("audio")
        reports = [live.reports.ended.get(timeout=60)]
        while reports[-1].outcome == "ok":  # sentences that fit into the buffers
            reports.append(live.reports.ended.get(timeout=60))
        assert reports[-1].outcome == "cancelled"
        assert sum(report.audio for report in reports) < 200  # of half an hour


def test_a_websocket_needs_a_key_and_each_utterance_counts(served):
    key = ApiKey(name="one", key="key-number-one", requests_per_minute=2)
    live = served(auth=AuthSettings(keys=(key,)))
    with opened(live) as client, pytest.raises(ConnectionClosed) as closed:
        client.event()
    assert closed.value.rcvd.code == 4401
    with opened(live, additional_headers={"Authorization": "Bearer key-number-one"}) as client:
        client.configure()
        client.say("One.")
        assert client.ended()[-1]["type"] == "done"
        client.say("Two.")
        assert client.ended()[-1]["type"] == "done"
        client.say("Three.")
        assert client.ended()[-1]["code"] == "rate_limited"
    assert {live.reports.ended.get(timeout=30).caller for _ in range(2)} == {"one"}


def test_web_pages_of_other_origins_are_refused(served):
    live = served(cors=CorsSettings(origins=("https://app.example",)))
    for origin, welcome in ((live.url, True), ("https://app.example", True), ("https://evil.example", False)):
        with opened(live, origin=origin) as client:
            if welcome:
                client.configure()
            else:
                with pytest.raises(ConnectionClosed) as closed:
                    client.event()
                assert closed.value.rcvd.code == 4403


def test_a_hub_that_stops_closes_its_sockets():
    settings = Settings(models=ONE_PLACE, plugins=PluginSettings(disabled=("hibari",)))
    with contextlib.ExitStack() as stack:
        with serve_hub(settings, [tone]) as live:
            client = stack.enter_context(opened(live, close_timeout=1))
            client.configure(options=ENDLESS)
            client.say("Endless.")
            client.until("audio")
        with pytest.raises(ConnectionClosed) as closed:
            client.ended()
        assert closed.value.rcvd.code == 1012
