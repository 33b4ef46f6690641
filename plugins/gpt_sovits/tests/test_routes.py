"""The family's own HTTP API, over a real socket: both dialects, their refusals, and requests of known clients."""

import base64
import io
import json
import re
import socket
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import av
import pytest
import soundfile

from hub.testing.sounds import alike
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny

TEXT = "你好世界。今天天气真不错，我们去公园。"
SPOKEN = {
    "text": TEXT,
    "text_lang": "zh",
    "ref_audio_path": "plain.wav",
    "prompt_text": "你好，世界真美好。",
    "prompt_lang": "zh",
    "seed": 3,
}


def samples(answer):
    assert answer.status_code == 200, answer.text
    sound, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert rate == 32_000
    return sound


@pytest.fixture(scope="module")
def spoken(gpt_sovits_hub):
    """The samples of SPOKEN."""
    return samples(gpt_sovits_hub.client.post("/tts", json=SPOKEN))


def raw(hub, request):
    """Status and body of a request that is written to the socket as it is."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


# -- /tts ----------------------------------------------------------------------------------------


def test_get_and_post_and_every_body_say_the_same(gpt_sovits_hub, spoken):
    client = gpt_sovits_hub.client
    texts = {name: str(value) for name, value in SPOKEN.items()}
    assert len(spoken) > 32_000
    for answer in (
        client.get("/tts", params=texts),
        client.post("/tts", data=texts),
        client.get("/compat/gpt_sovits/tts", params=texts),
        client.post("/", json=SPOKEN),
    ):
        assert answer.headers["content-type"] == "audio/wav"
        assert alike(samples(answer), spoken)


def test_a_streamed_wav_has_a_header_that_players_accept(gpt_sovits_hub):
    with gpt_sovits_hub.client.stream("POST", "/tts", json=SPOKEN | {"streaming_mode": True}) as answer:
        assert answer.status_code == 200
        body = b"".join(answer.iter_bytes())
    assert body[:4] == b"RIFF"
    assert struct.unpack("<I", body[40:44])[0] >= len(body) - 44
    assert struct.unpack("<I", body[24:28])[0] == 32_000
    with av.open(io.BytesIO(body)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) > 32_000


@pytest.mark.parametrize(("media_type", "codec"), [("ogg", "vorbis"), ("aac", "aac")])
def test_compressed_audio_can_be_decoded(gpt_sovits_hub, spoken, media_type, codec):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"media_type": media_type})
    assert answer.headers["content-type"] == f"audio/{media_type}"
    with av.open(io.BytesIO(answer.content)) as file:
        assert (file.streams.audio[0].codec_context.name, file.streams.audio[0].rate) == (codec, 32_000)
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    assert seconds == pytest.approx(len(spoken) / 32_000, abs=0.15)


def test_raw_audio_is_the_samples_of_the_wav(gpt_sovits_hub, spoken):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"media_type": "raw"})
    assert answer.headers["content-type"] == "audio/raw"
    assert alike(answer.content, spoken)


@pytest.mark.parametrize("mode", [1, 2, 3, "1", "ture", "True"])
def test_every_way_of_streaming_speaks(gpt_sovits_hub, mode):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"streaming_mode": mode, "media_type": "raw"})
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 40_000


def test_a_recording_may_be_sent_in_a_form(gpt_sovits_hub, spoken):
    fields = {name: str(value) for name, value in SPOKEN.items() if name != "ref_audio_path"}
    files = {"ref_audio": ("mine.wav", gpt_sovits_tiny.recording(pitch=150), "audio/wav")}
    assert alike(samples(gpt_sovits_hub.client.post("/tts", data=fields, files=files)), spoken)


def test_auxiliary_recordings_change_the_sound(gpt_sovits_hub, spoken):
    name = "参考音频/[jok老师]你好世界.wav"
    for answer in (
        gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"aux_ref_audio_paths": [name]}),
        gpt_sovits_hub.client.get("/tts", params=SPOKEN | {"aux_ref_audio_paths": name}),
    ):
        assert not alike(samples(answer), spoken)


def test_parameters_have_their_effect(gpt_sovits_hub, spoken):
    client = gpt_sovits_hub.client
    assert len(samples(client.post("/tts", json=SPOKEN | {"speed_factor": 2}))) < 0.8 * len(spoken)
    longer = samples(client.post("/tts", json=SPOKEN | {"fragment_interval": 1}))
    assert len(longer) == len(spoken) + 0.7 * 32_000 * 3
    assert not alike(samples(client.post("/tts", json=SPOKEN | {"seed": 4}))[:1000], spoken[:1000])


# -- refusals -----------------------------------------------------------------------------------

REQUIRED = ["ref_audio_path", "text", "text_lang", "prompt_lang"]


def test_a_probe_gets_the_400_that_it_expects(gpt_sovits_hub):
    status, _, body = raw(gpt_sovits_hub, b"GET /tts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (status, json.loads(body)["message"]) == (400, "ref_audio_path is required")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_parameter_is_named_in_the_apis_words(gpt_sovits_hub, method, name):
    fields = {key: value for key, value in SPOKEN.items() if key != name}
    how = {"params": fields} if method == "GET" else {"json": fields}
    answer = gpt_sovits_hub.client.request(method, "/tts", **how)
    assert (answer.status_code, answer.json()["message"]) == (400, f"{name} is required")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text_lang", "xx", "text_lang: xx is not supported"),
        ("prompt_lang", "klingon", "prompt_lang: klingon is not supported"),
        ("media_type", "mp4", "media_type: mp4 is not supported"),
        ("text_split_method", "cut9", "text_split_method:cut9 is not supported"),
        ("streaming_mode", 7, "the value of streaming_mode must be 0, 1, 2, 3(int) or true/false(bool)"),
    ],
)
def test_a_wrong_value_is_reported_in_the_apis_words(gpt_sovits_hub, field, value, message):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {field: value})
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_a_wrong_type_is_fastapis_422(gpt_sovits_hub):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"top_k": "many"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "top_k"]


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"ref_audio_path": "short.wav"}, "3 "),
        ({"text": "。。。"}, "nothing to say"),
        ({"top_k": 0}, "top_k"),
        ({"speed_factor": 9}, "speed"),
    ],
)
def test_a_failure_while_speaking_is_an_error_and_never_a_second_of_silence(gpt_sovits_hub, changed, cause):
    for streaming in (False, True):
        answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | changed | {"streaming_mode": streaming})
        assert answer.status_code == 400, answer.text
        assert answer.json()["message"] == "tts failed"
        assert cause in answer.json()["Exception"]


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "secret.key", "./secret.key", "none.wav", "a\x00b.wav", "C:\\x.wav", "."],
)
def test_nothing_outside_of_the_folders_is_opened(gpt_sovits_hub, path):
    answer = gpt_sovits_hub.client.post("/tts", json=SPOKEN | {"ref_audio_path": path})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("ref_audio_path: there is no recording")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"text": 1, "ref_audio_path": []}', b"\xff\xfe", b'{"text": "\\ud800"}']
)
@pytest.mark.parametrize("path", ["/tts", "/", "/srt", "/tts_to_audio/", "/set_model", "/change_refer"])
def test_bodies_that_cannot_be_read_are_bad_requests(gpt_sovits_hub, path, body):
    answer = gpt_sovits_hub.client.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.json()


# -- stored voices, speakers, defaults ------------------------------------------------------------


def test_stored_voices_and_bracketed_files_speak_with_their_transcripts(gpt_sovits_hub, spoken):
    client = gpt_sovits_hub.client
    recording = {"audio": gpt_sovits_tiny.recording(pitch=150), "text": "你好，世界真美好。"}
    recording["audio"] = base64.b64encode(recording["audio"]).decode()
    assert client.post("/v1/voices", json={"id": "kept", "recordings": [recording]}).status_code in (200, 201)
    fields = {name: value for name, value in SPOKEN.items() if name != "prompt_text"} | {"ref_audio_path": "kept"}
    assert alike(samples(client.post("/tts", json=fields)), spoken)
    listed = {"ref_audio_path": "./参考音频/kept.wav", "prompt_text": "kept"}  # as SillyTavern asks for a listed voice
    assert alike(samples(client.post("/tts", json=fields | listed)), spoken)
    names = client.get("/speakers_list").json()
    assert names == ["kept", "Spoken", "plain", "short", "jok老师"]
    speakers = [speaker["voice_id"] for speaker in client.get("/speakers").json()]
    assert speakers == [
        "kept",
        "Spoken",
        "plain",
        "short",
        "[jok老师]你好世界",
    ]  # SillyTavern reads the transcript off the name
    assert len(samples(client.post("/tts", json=fields | {"ref_audio_path": "jok老师"}))) > 16_000
    assert len(samples(client.post("/tts_to_audio/", json={"text": TEXT, "speaker_wav": "kept", "language": "zh"}))) > 0


def test_changed_defaults_hold_for_the_next_requests(gpt_sovits_hub):
    client = gpt_sovits_hub.client
    first = {"text": TEXT, "text_language": "中文"}
    refused = client.post("/", json=first)
    assert (refused.status_code, refused.json()) == (400, {"code": 400, "message": "未指定参考音频且接口无预设"})
    changed = {"refer_wav_path": "plain.wav", "prompt_text": "你好，世界真美好。", "prompt_language": "中文"}
    assert client.post("/change_refer", json=changed).json() == {"code": 0, "message": "Success"}
    assert len(samples(client.post("/", json=first))) > 16_000
    assert len(samples(client.get("/", params=first | {"cut_punc": "，。"}))) > 16_000
    assert client.post("/change_refer", json={}).json()["code"] == 400
    assert client.get("/set_refer_audio", params={"refer_audio_path": "none.wav"}).status_code == 400
    assert client.get("/set_refer_audio", params={"refer_audio_path": "plain.wav"}).json() == {"message": "success"}


def test_weights_are_set_for_the_next_requests_and_only_from_the_models_folder(gpt_sovits_hub, spoken):
    client = gpt_sovits_hub.client
    for path in ("/etc/passwd", "../x.ckpt", "none.ckpt"):
        answer = client.get("/set_gpt_weights", params={"weights_path": path})
        assert answer.status_code == 400
        assert answer.json()["message"] == "change gpt weight failed"
        assert "no gpt weights" in answer.json()["Exception"]
    other = client.get("/set_gpt_weights", params={"weights_path": "s2G2333k.pth"})
    assert other.status_code == 400
    assert "acoustic weights (SoVITS)" in other.json()["Exception"]
    assert client.get("/set_gpt_weights").json()["message"] == "gpt weight path is required"
    assert client.get("/set_sovits_weights").json()["message"] == "sovits weight path is required"
    assert client.get("/set_gpt_weights", params={"weights_path": "GPT_weights_v2/mine-e15.ckpt"}).status_code == 200
    assert client.get("/set_sovits_weights", params={"weights_path": "mine_e8_s96.pth"}).json() == {
        "message": "success"
    }
    assert alike(samples(client.post("/tts", json=SPOKEN)), spoken)  # the same numbers under another name
    pretrained = {
        "gpt_model_path": "s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
        "sovits_model_path": "s2G2333k.pth",
    }
    assert client.post("/set_model", json=pretrained).json() == {"code": 0, "message": "Success"}


def test_control_is_off_unless_it_was_switched_on(gpt_sovits_hub):
    for method in ("GET", "POST"):
        answer = gpt_sovits_hub.client.request(method, "/control", params={"command": "exit"})
        assert answer.status_code == 403
        assert "control = true" in answer.json()["message"]


# -- subtitles -----------------------------------------------------------------------------------


def test_subtitles_have_a_cue_a_segment_and_links_that_work_behind_a_proxy(gpt_sovits_hub):
    client = gpt_sovits_hub.client
    behind = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "tts.example", "X-Forwarded-Prefix": "/voice"}
    answer = client.post("/srt", json=SPOKEN, headers=behind)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["code"] == "200"
    assert body["srt"].startswith("https://tts.example/voice/srt/")
    direct = client.get("/srt", params=SPOKEN).json()
    assert direct["audio"].startswith(gpt_sovits_hub.url)
    subtitles = client.get(urlsplit(direct["srt"]).path).text
    audio = samples(client.get(urlsplit(direct["audio"]).path))
    blocks = [block.splitlines() for block in subtitles.strip().split("\n\n")]
    assert [block[2] for block in blocks] == ["你好世界。", "今天天气真不错，", "我们去公园。"]
    ends = [clock for block in blocks for clock in map(seconds, block[1].split(" --> "))]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(len(audio) / 32_000 - 0.3, abs=0.002)
    assert client.get("/srt/0123/audio.wav").status_code == 404


def seconds(clock):
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_subtitles_can_be_downloaded_with_the_audio(gpt_sovits_hub):
    client = gpt_sovits_hub.client
    packed = client.post("/srt?download=zip", json=SPOKEN)
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert sorted(archive.namelist()) == ["audio.wav", "tts-out.srt"]
        subtitles, audio = archive.read("tts-out.srt").decode(), archive.read("audio.wav")
    assert re.match(r"1\n00:00:00,000 --> ", subtitles)
    assert client.post("/srt?download=srt", json=SPOKEN).text == subtitles
    assert client.post("/srt?download=pdf", json=SPOKEN).status_code == 422
    by_ten, by_one = (client.post(f"/srt?download=wav&batch_size={size}", json=SPOKEN).content for size in (10, 1))
    assert alike(audio, by_ten)
    assert not alike(audio, by_one), "all segments of a text are spoken together"


def test_a_visitor_of_the_root_is_sent_to_the_documentation(gpt_sovits_hub):
    answer = gpt_sovits_hub.client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


# -- requests as known clients send them, byte by byte ------------------------------------------------


def posted(path, body, *headers):
    content = json.dumps(body, ensure_ascii=False).encode()
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1:9880", "Content-Type: application/json", *headers]
    head += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode() + content


SILLYTAVERN = {
    "text": TEXT, "prompt_lang": "zh", "text_lang": "zh", "text_split_method": "cut5", "batch_size": 1,
    "media_type": "ogg", "streaming_mode": "true", "ref_audio_path": "./参考音频/[jok老师]你好世界.wav",
    "prompt_text": "你好世界",
}  # fmt: skip
SILLYTAVERN_ADAPTER = {
    "use_st_adapter": True, "card_name": "Seraphina", "target_voice": "jok老师", "text": TEXT, "text_lang": "zh",
    "prompt_lang": "zh", "media_type": "auto", "text_split_method": "cut5", "batch_size": 1, "streaming_mode": "false",
}  # fmt: skip


@pytest.mark.parametrize("body", [SILLYTAVERN, SILLYTAVERN_ADAPTER], ids=["provider", "adapter"])
def test_sillytavern(gpt_sovits_hub, body):
    status, head, audio = raw(gpt_sovits_hub, posted("/", body, "User-Agent: node-fetch", "Accept: */*"))
    assert status == 200, audio
    assert "content-type: audio/" in head
    assert len(audio) > 4_000


def test_astrbot(gpt_sovits_hub):
    """It lower-cases every value, paths included, and sets weights before it speaks."""
    values = {
        "text": TEXT, "text_lang": "zh", "ref_audio_path": "mine/spoken.wav", "prompt_lang": "zh",
        "prompt_text": "你好，世界真美好。", "top_k": "5", "top_p": "1.0", "temperature": "1.0",
        "text_split_method": "cut3", "batch_size": "1",
        "batch_threshold": "0.75", "split_bucket": "true", "speed_factor": "1", "fragment_interval": "0.3",
        "streaming_mode": "false", "seed": "-1", "parallel_infer": "true", "repetition_penalty": "1.35",
        "media_type": "wav",
    }  # fmt: skip
    query = "&".join(f"{name}={quote(value)}" for name, value in values.items())
    for path in ("/set_gpt_weights?weights_path=gpt_weights_v2/mine-e15.ckpt", f"/tts?{query}"):
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9880\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        status, _, body = raw(gpt_sovits_hub, request.encode())
        assert status == 200, body


def test_open_llm_vtuber(gpt_sovits_hub):
    """Its default configuration spells true as it spells it."""
    values = {
        "text": TEXT, "text_lang": "zh", "ref_audio_path": "plain.wav", "prompt_lang": "zh", "prompt_text": "你好",
        "text_split_method": "cut5", "batch_size": "1", "media_type": "wav", "streaming_mode": "ture",
    }  # fmt: skip
    query = "&".join(f"{name}={quote(value)}" for name, value in values.items())
    request = (
        f"GET /tts?{query} HTTP/1.1\r\nHost: 127.0.0.1:9880\r\nUser-Agent: python-requests\r\nConnection: close\r\n\r\n"
    )
    status, _, body = raw(gpt_sovits_hub, request.encode())
    assert status == 200, body
    assert b"RIFF" in body[:64]


def test_callers_at_once_hear_their_own(gpt_sovits_hub):
    client = gpt_sovits_hub.client
    wanted = [SPOKEN | {"seed": seed, "text": text} for seed in (1, 2) for text in ("你好世界。", "今天天气真不错。")]
    alone = [samples(client.post("/tts", json=one)) for one in wanted]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: samples(client.post("/tts", json=one)), wanted))
    assert all(len(a) == len(b) and (a == b).all() for a, b in zip(alone, together, strict=True))
