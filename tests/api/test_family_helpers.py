"""Helpers for the routes of families: fields in every encoding, FastAPI's 422, a family's model."""

from typing import Annotated, Literal

import httpx
import msgspec
import pytest
from litestar import Request, get, route
from litestar.params import FromQuery
from msgspec import Meta, Struct

from hub.api.family import model_of, options_of
from hub.api.http.errors import error_response
from hub.api.http.fields import Unprocessable, Upload, as_struct, fastapi_body, query_fields, read_fields
from hub.api.http.negotiate import HubResponse
from hub.api.mount import shaped
from hub.plugin.manager import Plugins
from hub.plugin.spec import hookimpl
from hub.service.hub import Hub
from hub.settings import CompatSettings, ModelSettings, Settings, SettingsError


class Wanted(Struct):
    text: str
    count: Annotated[int, Meta(ge=1)] = 1
    speed: float = 1.0
    loud: bool = False
    kind: Literal["a", "b"] = "a"
    tags: list[str] = []
    seed: int | None = None
    wav: Upload | None = None
    raw: bytes = b""
    takes: list[bytes] = []
    more: list[Upload] = []


class Options(Struct):
    longest: int = 0


class families:  # noqa: N801
    __name__ = "families"

    @staticmethod
    @hookimpl
    def register_compat_options():
        return Options

    @staticmethod
    @hookimpl
    def register_routes(hub):
        def shape(request, raised):
            if (body := fastapi_body(raised)) is not None:
                return HubResponse(body, status_code=422)
            return error_response(request, raised)

        @route("/echo", http_method=["GET", "POST"], status_code=200)
        async def echo(request: Request) -> dict[str, object]:
            found = as_struct({**query_fields(request), **await read_fields(request)}, Wanted)
            wav = [found.wav.filename, found.wav.content_type, found.wav.content.decode()] if found.wav else None
            files = {"takes": b"+".join(found.takes).decode(), "more": [one.filename for one in found.more]}
            return {**msgspec.structs.asdict(found), "wav": wav, "raw": found.raw.decode(), **files}

        @get("/model", sync_to_thread=False)
        def model(backend: FromQuery[str], name: FromQuery[str] = "") -> str:
            return model_of(hub, backend, name).name

        return shaped([echo, model], shape)


@pytest.fixture(scope="module")
def client(served_once):
    models = {name: ModelSettings(backend="tone", preload=False) for name in ("one", "two")}
    return served_once(families(), models=models, default_model="two").client


EXPECTED = {"text": "hi", "count": 2, "speed": 0.5, "loud": True, "tags": ["x", "y"]}


def sent(client, method="POST", **request):
    answer = client.request(method, "/echo", **request)
    assert answer.status_code == 200, answer.text
    return {name: answer.json()[name] for name in EXPECTED}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_same_fields_in_every_form(client, method):
    texts = {"text": "hi", "count": "2", "speed": "0.5", "loud": "On", "tags": ["x", "y"]}
    packed = {"content": msgspec.msgpack.encode(EXPECTED), "headers": {"content-type": "application/msgpack"}}
    for request in (
        {"json": EXPECTED},
        {"json": {**EXPECTED, "unknown": 1}},
        packed,
        {"data": texts},
        {"data": texts, "files": {"other": b"a file"}},
        {"params": {"text": "hi", "count": "2"}, "data": {"speed": ".5", "loud": "1", "tags": ["x", "y"]}},
    ):
        assert sent(client, method, **request) == EXPECTED


def test_files_and_texts_of_a_form(client):
    files = {"wav": ("a.wav", b"RIFF", "audio/wav"), "raw": ("b", b"bytes", "application/octet-stream")}
    answer = client.post("/echo", data={"text": "1", "tags": "one", "seed": "null"}, files=files).json()
    assert (answer["wav"], answer["raw"]) == (["a.wav", "audio/wav", "RIFF"], "bytes")
    assert (answer["text"], answer["tags"], answer["seed"]) == ("1", ["one"], None)


def test_repeated_files(client):
    files = [("takes", b"one"), ("takes", b"two"), ("more", ("x.wav", b"x"))]
    answer = client.post("/echo", data={"text": "t"}, files=files).json()
    assert (answer["takes"], answer["more"]) == ("one+two", ["x.wav"])
    for wrong in ({"tags": b"a file"}, {"more": (None, "no file")}):
        (problem,) = client.post("/echo", data={"text": "t"}, files=wrong).json()["detail"]
        assert problem["loc"] == ["body", *wrong]


def test_all_problems_are_reported_at_once_as_fastapi_reports_them(client):
    wrong = {"count": "many", "speed": None, "loud": "maybe", "kind": "c", "wav": "no file"}
    answer = client.post("/echo", json=wrong)
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [
            {"type": "missing", "loc": ["body", "text"], "msg": "Field required", "input": None},
            {
                "type": "int_parsing",
                "loc": ["body", "count"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "input": "many",
            },
            {"type": "float_type", "loc": ["body", "speed"], "msg": "Input should be a valid number", "input": None},
            {
                "type": "bool_parsing",
                "loc": ["body", "loud"],
                "msg": "Input should be a valid boolean, unable to interpret input",
                "input": "maybe",
            },
            {"type": "literal_error", "loc": ["body", "kind"], "msg": "Input should be 'a' or 'b'", "input": "c"},
            {"type": "value_error", "loc": ["body", "wav"], "msg": "Expected a file", "input": "no file"},
        ]
    }
    many = client.post("/echo", json={"text": "t", "count": "1e999", "speed": "nan", "tags": ["a", 1]}).json()["detail"]
    assert [one["loc"][1] for one in many] == ["count", "speed", "tags"]
    assert client.post("/echo", json={"text": "t", "count": "9" * 400, "speed": "9" * 400}).status_code == 422
    (low,) = client.post("/echo", json={"text": "t", "count": 0}).json()["detail"]
    assert (low["loc"], low["msg"]) == (["body", "count"], "Expected int >= 1")
    (file,) = client.post("/echo", files={"text": b"a file"}).json()["detail"]
    assert file["loc"] == ["body", "text"]
    with pytest.raises(Unprocessable, match="text: Field required") as raised:
        as_struct({}, Wanted, where="query")
    assert raised.value.problems[0]["loc"] == ["query", "text"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[1]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xc1", "application/msgpack", 400),
        (b"\x81\x01\x02", "application/msgpack", 400),
        (b"text=%ff", "application/x-www-form-urlencoded", 400),
        (b"--no", "multipart/form-data; boundary=x", 400),
        (b"no", "multipart/form-data", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"hello", "text/plain", 415),
        (b"", "text/plain", 422),
    ],
)
def test_an_unreadable_body_is_refused(client, body, content_type, status):
    answer = client.post("/echo", content=body, headers={"content-type": content_type})
    assert answer.status_code == status, answer.text


def test_the_model_of_a_family(client, served):
    def model(**params) -> httpx.Response:
        return client.get("/model", params=params)

    assert model(backend="tone").text == "two"
    assert model(backend="tone", name="one").text == "one"
    unknown = model(backend="tone", name="three")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "there is no model 'three'; there are: one, two")
    none = model(backend="fish")
    assert none.status_code == 503
    assert 'add [models.NAME] with backend = "fish"' in none.json()["message"]


def test_the_options_of_a_familys_routes():
    def told(options):
        compat = {"families": CompatSettings(options=options)}
        return options_of(Hub.build(Settings(compat=compat), Plugins.discover(extra=[families()])), "families", Options)

    assert told({"longest": 3}) == Options(longest=3)
    assert told({}) == options_of(Hub.build(Settings()), "families", Options) == Options()
    with pytest.raises(
        SettingsError, match=r"compat\.families\.options\.longer: unknown key\. Did you mean 'longest'\?"
    ):
        told({"longer": 3})
    with pytest.raises(
        SettingsError, match=r"compat\.families\.options\.longest: expected a whole number, got a string"
    ):
        told({"longest": "secret"})
    without = Settings(compat={"hibari": CompatSettings(options={"a": 1})})
    with pytest.raises(SettingsError, match=r"compat\.hibari\.options: plugin 'hibari' has no options"):
        Hub.build(without)
