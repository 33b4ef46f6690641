"""POST /v1/speech/events and /v1/speech/subtitles against a real server."""

import base64
import io
import json
import wave
import zipfile

import av
import msgspec
import numpy as np
import pytest

from hub.api.http import sse
from hub.testing import tone

TEXT = "The first sentence. And the second one, which is longer!"
PCM = {"container": "pcm"}
ONE_BYTE = {"chunk_ms": 40}
ENDLESS = {"seconds": 3600.0, "paced": True, "lead_ms": 0}


def parse(lines):
    """The (event, data) pairs and the comments of a text/event-stream, by its specification."""
    name, data = "message", []
    for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif line.startswith(":"):
            yield "comment", line[1:].strip()
        else:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)


def events_of(live, query="", **body):
    answer = live.client.post(f"/v1/speech/events{query}", json={"format": PCM, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for name, data in parse(answer.text.split("\n")):
        event = json.loads(data)
        assert event["type"] == name
        found.append(event)
    return found


def spoken(events):
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "audio")
    return tone.decode(np.frombuffer(audio, "<i2") / 32768, tone.SAMPLE_RATE)


def byte_time(text, position):
    """The time at which the tone of `text[position]` begins: two symbols of header, then one for each byte."""
    return pytest.approx(0.04 * (2 + len(text[:position].encode())) if position else 0.0, abs=1e-3)


def test_events_carry_the_audio_the_marks_and_the_end(live):
    events = events_of(live, text=TEXT, options=ONE_BYTE)
    assert [events[0]["type"], events[-1]["type"]] == ["started", "done"]
    assert (events[0]["model"], events[0]["voice"], events[0]["sample_rate"]) == ("tone", "mid", 24_000)
    assert spoken(events) == TEXT
    marks = [event for event in events if event["type"] == "mark"]
    assert [mark["text"] for mark in marks] == ["The first sentence.", "And the second one, which is longer!"]
    for mark in marks:
        assert TEXT[slice(*mark["span"])] == mark["text"]
        assert not mark["estimated"]
        assert mark["start"] == byte_time(TEXT, mark["span"][0])
        assert mark["end"] == byte_time(TEXT, mark["span"][1])
    assert events[-1]["seconds"] == marks[-1]["end"]


def test_a_boundary_inside_a_chunk_is_estimated(live):
    marks = [event for event in events_of(live, text=TEXT, options={"chunk_ms": 1000}) if event["type"] == "mark"]
    assert [mark["estimated"] for mark in marks] == [True, True]
    assert marks[0]["end"] == pytest.approx(0.04 * 21, abs=0.15)
    (only,) = [e for e in events_of(live, text="Just one.", options={"chunk_ms": 1000}) if e["type"] == "mark"]
    assert (only["start"], only["end"], only["estimated"]) == (0.0, byte_time("Just one.", 9), False)


def test_words_are_marked_on_request(live):
    words = [e for e in events_of(live, "?words=true", text=TEXT) if e["type"] == "mark" and e["kind"] == "word"]
    assert [word["text"] for word in words] == TEXT.split()
    assert all(word["estimated"] for word in words)
    own = events_of(live, "?words=true", text=TEXT, options={"marks": True})
    words = [event for event in own if event["type"] == "mark" and event["kind"] == "word"]
    assert [(word["text"], word["estimated"]) for word in words] == [(word, False) for word in TEXT.split()]


def test_msgpack_in(live):
    body = msgspec.msgpack.encode({"text": TEXT, "format": PCM})
    answer = live.client.post("/v1/speech/events", content=body, headers={"Content-Type": "application/msgpack"})
    assert spoken([json.loads(data) for _, data in parse(answer.text.split("\n"))]) == TEXT


def test_an_error_before_the_first_audio_has_its_status(live):
    for path in ("/v1/speech/events", "/v1/speech/subtitles"):
        answer = live.client.post(path, json={"text": "Hello.", "voice": "nobody"})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_voice")
        answer = live.client.post(path, json={"text": "Hello.", "options": {"fail_at": 0}})
        assert (answer.status_code, answer.json()["code"]) == (500, "backend_failed")


@pytest.mark.parametrize(("option", "code"), [("fail_at", "backend_failed"), ("crash_at", "backend_crashed")])
def test_a_fault_in_the_middle_is_the_last_event(served, option, code):
    events = events_of(served(), text=TEXT, options={option: 5})
    assert (events[-1]["type"], events[-1]["code"]) == ("fault", code)
    assert set(events[-1]) == {"type", "code", "message", "detail"}
    assert "audio" in {event["type"] for event in events}


def test_a_caller_that_leaves_stops_the_model(served):
    live = served()
    with live.client.stream("POST", "/v1/speech/events", json={"text": "endless", "options": ENDLESS}) as answer:
        assert next(answer.iter_lines()) == "event: started"
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"


def test_a_silent_stream_is_pinged(served, monkeypatch):
    monkeypatch.setattr(sse, "PING_PERIOD", 0.05)
    live = served()
    body = {"text": "Slow but sure.", "format": PCM, "options": {"chunk_ms": 300, "step_ms": 300}}
    with live.client.stream("POST", "/v1/speech/events", json=body) as answer:
        found = list(parse(answer.iter_lines()))
    assert ("comment", "ping") in found
    assert spoken([json.loads(data) for name, data in found if name != "comment"]) == "Slow but sure."


# -- subtitles ------------------------------------------------------------------------------------


def subtitles_of(live, query="", headers=None, **body):
    answer = live.client.post(f"/v1/speech/subtitles{query}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_audio_and_subtitles_in_one_answer(live):
    answer = subtitles_of(live, text=TEXT, options=ONE_BYTE).json()
    with wave.open(io.BytesIO(base64.b64decode(answer["audio"]))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    assert tone.decode(samples, answer["sample_rate"]) == TEXT
    assert answer["seconds"] == pytest.approx(len(samples) / 24_000, abs=1e-3)
    assert answer["subtitles"] == (  # the first stays until the second comes: it is short
        "1\n00:00:00,000 --> 00:00:00,880\nThe first sentence.\n\n"
        "2\n00:00:00,880 --> 00:00:02,320\nAnd the second one, which is longer!\n"
    )
    kinds = [(mark["kind"], mark.get("estimated", False)) for mark in answer["marks"]]
    assert kinds.count(("sentence", False)) == 2
    assert kinds.count(("word", True)) == len(TEXT.split())


def test_webvtt_and_msgpack(live):
    answer = subtitles_of(
        live, "?format=vtt", {"Accept": "application/msgpack"}, text=TEXT, format={"container": "flac"}
    )
    assert answer.headers["content-type"] == "application/msgpack"
    body = msgspec.msgpack.decode(answer.content)
    assert body["subtitles"].startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert (body["media_type"], body["audio"][:4]) == ("audio/flac", b"fLaC")


@pytest.mark.parametrize(
    ("download", "media_type", "start"),
    [
        ("srt", "application/x-subrip", b"1\n00:"),
        ("vtt", "text/vtt", b"WEBVTT\n"),
        ("wav", "audio/wav", b"RIFF"),
        ("audio", "audio/wav", b"RIFF"),
        ("zip", "application/zip", b"PK"),
    ],
)
def test_downloads(live, download, media_type, start):
    answer = subtitles_of(live, f"?download={download}", text=TEXT)
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.content.startswith(start)
    extension = "wav" if download == "audio" else download
    assert answer.headers["content-disposition"] == f'attachment; filename="speech.{extension}"'


def test_the_zip_has_audio_and_both_kinds_of_subtitles(live):
    answer = subtitles_of(live, "?download=zip", text=TEXT, format={"container": "mp3"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["speech.mp3", "speech.srt", "speech.vtt"]
        assert archive.testzip() is None
        with av.open(io.BytesIO(archive.read("speech.mp3"))) as audio:
            seconds = sum(frame.samples / frame.sample_rate for frame in audio.decode(audio=0))
        assert archive.read("speech.srt").decode().count(" --> ") == 2
    assert seconds == pytest.approx(2.32, abs=0.1)


def test_invalid_subtitle_requests_are_refused(live):
    for query in ("?format=ass", "?download=mp4"):
        answer = live.client.post(f"/v1/speech/subtitles{query}", json={"text": TEXT})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    body = {"text": TEXT, "format": {"container": "mp3"}}
    answer = live.client.post("/v1/speech/subtitles?download=wav", json=body)
    assert (answer.status_code, "download=audio" in answer.json()["message"]) == (400, True)


def test_a_fault_in_the_middle_returns_no_partial_subtitles(served):
    answer = served().client.post("/v1/speech/subtitles", json={"text": TEXT, "options": {"fail_at": 5}})
    assert (answer.status_code, answer.json()["code"]) == (500, "backend_failed")
