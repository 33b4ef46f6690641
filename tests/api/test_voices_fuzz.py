"""Random requests to the voice routes: no server error, and no file outside the data folder is touched."""

import base64
import collections
import contextlib
import io
import json
import os
import sys
import urllib.parse

import hypothesis
import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import strategies as st

from hub.settings import LimitSettings, ReferenceSettings


def _wav(rate=16_000, format="WAV", subtype="PCM_16"):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(rate // 10) / 5) / 2, rate, format=format, subtype=subtype)
    return buffer.getvalue()


TAKES = [_wav(), _wav(48_000, "FLAC"), _wav(24_000, "OGG", "VORBIS"), _wav(44_100, "MP3", "MPEG_LAYER_III")]
EVIL = [
    "..",
    ".",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    ".lock",
    ".new-1",
    "voice.json",
    "\0",
    "%2e%2e",
    "~",
]
EVIL += ["con", "low", "anna", "ANNA", "a\u0301", "\ud83d", "\u202e", "x" * 300, "字" * 128, " ", "", "-", "x.", "..x"]


def either(*strategies):
    """One of them, all equally often, which `one_of` does not promise for nested ones."""
    return st.sampled_from(strategies).flatmap(lambda chosen: chosen)


names = st.one_of(st.sampled_from(EVIL), st.text(max_size=12), st.sampled_from(["anna", "ben", "字"]))
texts = st.one_of(st.text(max_size=30), st.sampled_from(["x" * 10_001, "\0", "\r\n--b\r\n"]))


ours = st.sampled_from(["anna", "ben", "字"])


@st.composite
def damaged(draw):
    """A recording with some of its bytes changed, cut off or doubled."""
    data = bytearray(draw(st.sampled_from(TAKES)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, min(len(data) - 1, 200)))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data), len(data) // 2, 40, 4]))] * draw(st.sampled_from([1, 1, 2])))


takes = st.one_of(st.sampled_from(TAKES), damaged(), st.binary(max_size=200))
fields = st.sampled_from(
    ["id", "name", "language", "tags", "description", "consent", "text", "audio", "url", "path", "?"]
)
parts = st.lists(
    st.tuples(
        fields,
        st.one_of(takes, texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=20)),
        st.one_of(st.none(), names),  # a file's name, if it is one
        st.sampled_from(["", "; charset=utf-16", "; charset=none", "; charset=utf-8"]),
    ),
    max_size=6,
)


def quoted(text):
    return text.encode("utf-8", "replace").replace(b'"', b"%22").replace(b"\r", b"").replace(b"\n", b"")


@st.composite
def forms(draw):
    """A multipart body, often well-formed: (headers, body)."""
    body = b""
    chosen = draw(parts)
    if draw(st.booleans()):
        chosen = [("id", quoted(draw(names)), None, ""), ("audio", draw(takes), "take.wav", ""), *chosen]
    for name, value, file, charset in chosen:
        filename = b'; filename="%s"' % quoted(file) if file is not None else b""
        kind = b"\r\nContent-Type: text/plain%s" % charset.encode() if charset else b""
        head = b'Content-Disposition: form-data; name="%s"%s%s' % (name.encode(), filename, kind)
        body += b"--b\r\n%s\r\n\r\n%s\r\n" % (head, value)
    body += draw(st.sampled_from([b"--b--\r\n", b"--b--\r\n", b"--b--\r\n", b"", b"--b\r\n", b"garbage"]))
    boundary = draw(
        st.sampled_from(["; boundary=b", "; boundary=b", "; boundary=b", "", "; boundary=", '; boundary="'])
    )
    return {"content-type": f"multipart/form-data{boundary}"}, body


@st.composite
def well_formed_forms(draw):
    """A form as a client would send it, with an odd id, a damaged recording or a strange text in some."""
    id = draw(either(ours, names))
    chosen = [("id", quoted(id), None)]
    for take, text in draw(st.lists(st.tuples(either(st.sampled_from(TAKES), takes), texts), min_size=1, max_size=3)):
        chosen += [("audio", take, "take"), ("text", text.encode("utf-8", "replace"), None)]
    if draw(st.booleans()):
        chosen.append(("language", b"en", None))
    body = b""
    for name, value, file in chosen:
        filename = b'; filename="%s"' % file.encode() if file else b""
        body += b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), filename, value)
    return {"content-type": "multipart/form-data; boundary=b"}, body + b"--b--\r\n"


loose = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 300), names, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def documents(draw, keys):
    """A JSON or msgpack body of known and unknown fields."""
    recording = st.fixed_dictionaries(
        {}, optional={"audio": takes, "url": names, "path": names, "text": texts, "other": loose}
    )
    value = st.one_of(loose, st.lists(recording, max_size=3))
    body = draw(st.dictionaries(st.sampled_from(keys), value, max_size=5))
    if draw(st.booleans()):
        body |= {key: draw(names) for key in ("id", "name") if key in keys}
    if draw(st.booleans()):
        try:
            return {"content-type": "application/msgpack"}, msgspec.msgpack.encode(body)
        except (UnicodeEncodeError, OverflowError):
            return {"content-type": "application/msgpack"}, draw(st.binary(max_size=50))
    text = json.dumps(body, default=lambda data: base64.b64encode(data).decode())
    return {"content-type": "application/json"}, text.encode()


def path(name):
    return "/v1/voices/" + urllib.parse.quote(name, safe=".~", errors="surrogatepass")


UPLOAD = ["id", "name", "language", "tags", "description", "consent", "recordings", "other"]
CHANGE = ["id", "name", "language", "tags", "description", "consent", "texts", "other"]
PREVIEW = ["text", "model", "language", "format", "stream"]


def _json(method, where, body):
    return method, where, {"content-type": "application/json"}, json.dumps(body).encode()


recordings = either(
    st.sampled_from(TAKES).map(lambda take: {"audio": base64.b64encode(take).decode()}),
    st.one_of(names, st.just("a.wav"), st.just("../outside.wav")).map(lambda name: {"path": name}),
    st.one_of(names, st.just("http://127.0.0.1/a.wav")).map(lambda name: {"url": name}),
)

requests = either(
    well_formed_forms().map(lambda form: ("POST", "/v1/voices", *form)),
    well_formed_forms().map(lambda form: ("POST", "/v1/voices", *form)),
    st.tuples(either(ours, names), recordings).map(
        lambda pair: _json("POST", "/v1/voices", {"id": pair[0], "recordings": [pair[1]]})
    ),
    st.tuples(ours, either(ours, names), texts).map(
        lambda each: _json("PATCH", path(each[0]), {"id": each[1], "texts": {"00.wav": each[2]}})
    ),
    ours.map(lambda name: ("DELETE", path(name), {}, b"")),
    ours.map(lambda name: ("GET", path(name) + "/audio", {}, b"")),
    ours.map(lambda name: _json("POST", path(name) + "/preview", {"text": "hi"})),
    forms().map(lambda form: ("POST", "/v1/voices", *form)),
    documents(UPLOAD).map(lambda form: ("POST", "/v1/voices", *form)),
    st.tuples(names, documents(CHANGE)).map(lambda pair: ("PATCH", path(pair[0]), *pair[1])),
    st.tuples(names, documents(PREVIEW)).map(lambda pair: ("POST", path(pair[0]) + "/preview", *pair[1])),
    names.map(lambda name: ("DELETE", path(name), {}, b"")),
    names.map(lambda name: ("GET", path(name), {}, b"")),
    st.tuples(names, names).map(
        lambda pair: (
            "GET",
            f"{path(pair[0])}/audio?recording={urllib.parse.quote(pair[1], errors='replace')}",
            {},
            b"",
        )
    ),
    names.map(lambda name: ("GET", f"/v1/voices?model={urllib.parse.quote(name, errors='replace')}", {}, b"")),
)

_touched = []
_watching = False
WRITING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}


def _watch(event, arguments):
    """Record every file that Python opens or changes in this process, where the server runs."""
    if _watching and (event == "open" or event in WRITING):
        _touched.extend(argument for argument in arguments[:2] if isinstance(argument, str | bytes | os.PathLike))


@pytest.fixture(scope="module")
def live(served_once, tmp_path_factory):
    home = tmp_path_factory.mktemp("fuzz")
    for name in ("roots/a.wav", "outside.wav"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(TAKES[0])
    running = served_once(
        data=str(home / "data"),
        limits=LimitSettings(reference_seconds=5, body_bytes=1 << 20),
        references=ReferenceSettings(roots=(str(home / "roots"),), urls=True, url_timeout=1),
    )
    running.wait_ready()
    running.home = home
    running.speak("the model is loaded")
    sys.addaudithook(_watch)
    return running


def outside(live):
    """The files that were touched, except those of the data folder and of the program itself."""
    program = (sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(soundfile.__file__)), os.getcwd())
    allowed = (str(live.home / "data"), str(live.home / "roots"), "/dev/null", "/proc/", "/sys/", "/etc/", *program)
    found = {os.path.abspath(os.fsdecode(one)) for one in _touched}
    return {one for one in found if not one.startswith(allowed) and not one.startswith("/tmp/tmp")}


def fuzz(live, count):
    global _watching
    seen = collections.Counter()

    @given(some=st.lists(requests, min_size=1, max_size=3))
    @example(some=[("POST", "/v1/voices", {"content-type": "multipart/form-data"}, b"")])
    @example(some=[("GET", "/v1/voices/%ff", {}, b"")])
    @hypothesis.settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers(some):
        for method, where, headers, body in some:
            answer = live.client.request(method, where, headers=headers, content=body)
            seen[answer.status_code] += 1
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert set(answer.json()) == {"code", "message", "detail"}
                assert str(live.home) not in answer.text

    _watching = True
    answers()
    _watching = False
    assert outside(live) == set()
    assert {200, 201, 204, 400, 403, 404, 409} <= set(seen), seen  # the requests reach every branch
    assert seen[201] >= count // 100, seen
    assert sorted(os.listdir(live.home)) == ["data", "outside.wav", "roots"]
    assert {(live.home / name).read_bytes() for name in ("roots/a.wav", "outside.wav")} == {TAKES[0]}
    assert set(os.listdir(live.home / "data")) <= {"voices", "cache", "tasks", "scenes", "dictionaries", "hub.db"}
    listed = live.client.get("/v1/voices").json()
    assert listed["problems"] == []
    for voice in listed["voices"]:
        with contextlib.suppress(KeyError):
            assert os.path.isdir(live.home / "data/voices" / voice["id"]) == (voice["kind"] == "stored")


def test_there_is_no_server_error_and_no_other_file_is_touched(live):
    fuzz(live, 500)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_there_is_no_server_error_and_no_other_file_is_touched_for_long(live):
    fuzz(live, 10_000)
