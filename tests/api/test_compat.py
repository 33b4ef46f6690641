import io
import logging
import re
import socket

import httpx
import msgspec
import numpy as np
import pytest
import soundfile
from litestar import Request, WebSocket, get, post, websocket
from litestar.middleware import ASGIMiddleware
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from hub.api.http.auth import OPEN
from hub.api.http.errors import to_hub_error
from hub.api.http.negotiate import HubResponse
from hub.api.mount import YIELDS, shaped
from hub.api.respond import speech_response
from hub.audio.encode import EncoderSpec
from hub.contract import AudioFormat, SpeechRequest
from hub.plugin.manager import Plugins
from hub.plugin.spec import hookimpl
from hub.service.hub import Hub
from hub.settings import ApiKey, AuthSettings, CompatSettings, ModelSettings, Settings, SettingsError
from hub.testing import tone
from hub.testing.fixtures import hub_process


class Say(Struct):
    what: str


class family:  # noqa: N801
    """A family with its own API, one of whose routes the hub already has."""

    __name__ = "family"

    @staticmethod
    @hookimpl
    def register_routes(hub):
        @post("/say", status_code=200)
        async def say(data: JSONBody[Say], request: Request) -> object:
            wanted = SpeechRequest(text=data.what, voice="low", format=AudioFormat(container="pcm"))
            return await speech_response(hub, request, wanted, stream=True)

        @post("/v1/speech", status_code=200)
        async def clash(data: JSONBody[Say]) -> Say:
            return data

        @get("/v1/speech", sync_to_thread=False)
        def beside() -> dict[str, str]:
            return {"who": "family"}

        @get("/v1/models/{name_of_it:str}", sync_to_thread=False)
        def parameter_clash(name_of_it: FromPath[str]) -> None:
            return None

        @get("/broken")
        async def broken(undeclared) -> None:
            return None

        @websocket("/live")
        async def live(socket: WebSocket) -> None:
            await socket.accept()
            await socket.close()

        return [say, clash, beside, parameter_clash, broken, live]

    @staticmethod
    @hookimpl
    def configure_app(config):
        class Mark(ASGIMiddleware):
            async def handle(self, scope, receive, send, next_app):
                async def marked(message):
                    if message["type"] == "http.response.start":
                        message["headers"] = [*message["headers"], (b"x-family", b"yes")]
                    await send(message)

                await next_app(scope, receive, marked)

        config.middleware.append(Mark())


class failing:  # noqa: N801
    __name__ = "failing"

    @staticmethod
    @hookimpl
    def register_routes(hub):
        raise RuntimeError("no routes today")


def failures(live):
    return {failure["error"].split(";")[0] for failure in live.client.get("/v1/backends").json()["failures"]}


def notes(live):
    return {note["note"].split(";")[0] for note in live.client.get("/v1/backends").json()["notes"]}


def test_routes_of_a_plugin_are_at_two_paths(served):
    live = served(family())
    for path in ("/say", "/compat/family/say"):
        answer = live.client.post(path, json={"what": "family"})
        assert answer.headers["x-voice"] == "low"
        assert tone.decode(np.frombuffer(answer.content, "<i2") / 32768, 24_000) == "family"
    assert live.client.post("/say", json={"which": 1}).json()["code"] == "invalid_request"


def test_a_route_of_the_hub_stays_the_hubs(served, caplog):
    with caplog.at_level(logging.INFO, "hub.api"):
        live = served(family())
    assert live.speak("hello").headers["content-type"] == "audio/wav"
    assert live.client.post("/compat/family/v1/speech", json={"what": "mine"}).json() == {"what": "mine"}
    assert live.client.get("/v1/models/tone").json()["id"] == "tone"
    assert live.client.get("/v1/speech").json() == {"who": "family"}  # another method is another route
    assert notes(live) == {"POST /v1/speech is already taken", "GET /v1/models/{} is already taken"}
    assert not any("taken" in failure for failure in failures(live))
    assert any("POST /v1/speech is already taken" in record.getMessage() for record in caplog.records)


def test_a_faulty_route_is_reported_and_the_others_work(served):
    live = served(family())
    assert any(error.startswith("register_routes:") for error in failures(live))
    assert live.client.get("/compat/family/broken").status_code == 404
    assert live.client.post("/say", json={"what": "family"}).status_code == 200


def test_a_plugin_whose_hook_fails_is_reported(served):
    live = served(failing(), family())
    assert any("no routes today" in error for error in failures(live))
    assert live.client.post("/say", json={"what": "family"}).status_code == 200


def test_the_first_plugin_of_two_keeps_a_path(served):
    class rival:  # noqa: N801
        @staticmethod
        @hookimpl
        def register_routes(hub):
            @post("/say", status_code=200)
            async def say() -> dict[str, str]:
                return {"who": "rival"}

            return [say]

    live = served(rival(), family())
    assert live.client.post("/say", json={"what": "family"}).headers["content-type"].startswith("audio/pcm")
    assert live.client.post("/compat/rival/say").json() == {"who": "rival"}
    assert "POST /say is already taken" in notes(live)


class tuned:  # noqa: N801
    """A family with a backend, a shape of errors, and a route that yields to the hub's."""

    __name__ = "tuned"

    @staticmethod
    @hookimpl
    def register_backends(settings):
        return [msgspec.structs.replace(spec, name="tuned", default_models={}) for spec in tone.register_backends(None)]

    @staticmethod
    @hookimpl
    def register_routes(hub):
        def shape(request, raised):
            error = to_hub_error(raised, request)
            return HubResponse({"oh": error.code}, status_code=error.status)

        @get("/v1/health", opt={**YIELDS, **OPEN}, sync_to_thread=False)
        def health() -> dict[str, str]:
            return {"who": "tuned"}

        @post("/say", status_code=200)
        async def say(data: JSONBody[Say]) -> dict[str, str]:
            return {"who": "tuned"}

        return shaped([health, say], shape)


def test_a_family_without_a_model_leaves_the_root_to_others(served):
    without = served(tuned(), models={"tone": ModelSettings(backend="tone")})
    assert without.client.post("/say", json={"what": "-"}).json()["code"] == "not_found"
    assert without.client.post("/compat/tuned/say", json={"what": "-"}).json() == {"who": "tuned"}
    with_model = served(tuned(), models={"tuned": ModelSettings(backend="tuned", preload=False)})
    assert with_model.client.post("/say", json={"what": "-"}).json() == {"who": "tuned"}
    assert with_model.client.get("/v1/health").json()["status"] == "ok"
    assert (notes(with_model), failures(with_model)) == (set(), set())


def test_a_family_reports_errors_in_its_own_shape(served):
    models = {"tuned": ModelSettings(backend="tuned", preload=False)}
    client = served(tuned(), models=models, auth=AuthSettings(keys=(ApiKey(name="a", key="a-long-key"),))).client
    key = {"x-api-key": "a-long-key"}
    for base in ("", "/compat/tuned"):
        assert client.post(f"{base}/say", json={"which": 1}, headers=key).json() == {"oh": "invalid_request"}
        assert client.post(f"{base}/say", json={"what": "-"}).json() == {"oh": "unauthorized"}
    assert client.get("/compat/tuned/nowhere", headers=key).json() == {"oh": "not_found"}
    assert client.get("/compat/tuned/say", headers=key).json() == {"oh": "method_not_allowed"}
    assert client.get("/nowhere", headers=key).json()["code"] == "not_found"


def test_a_plugin_can_change_the_app(served):
    assert served(family()).client.get("/v1/health").headers["x-family"] == "yes"


def test_plugin_routes_are_documented_once(served):
    paths = served(family()).client.get("/openapi.json").json()["paths"]
    assert "/compat/family/say" in paths
    assert "/say" not in paths


class Reversed:
    """Bare samples, backwards in every chunk."""

    media_type, extension = "audio/x-reversed", "rev"

    def __init__(self, format, sample_rate, whole):
        self.sample_rate = sample_rate

    def feed(self, samples):
        return samples[::-1].astype("<f4").tobytes()

    def finish(self):
        return b""

    def close(self):
        pass


class Unmakeable(Reversed):
    def __init__(self, *arguments):
        raise OSError("this encoder is missing a part")


class encoders:  # noqa: N801
    __name__ = "encoders"

    @staticmethod
    @hookimpl
    def register_encoders():
        return [
            EncoderSpec(name="reversed", media_type="audio/x-reversed", extension="rev", factory=Reversed),
            EncoderSpec(name="unmakeable", media_type="audio/x-none", extension="none", factory=Unmakeable),
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_plugins_container_packs_speech(served, stream):
    live = served(encoders())
    answer = live.speak("a text", format={"container": "reversed"}, options={"chunk_ms": 1000}, stream=stream)
    assert answer.headers["content-type"] == "audio/x-reversed"
    assert tone.decode(np.frombuffer(answer.content, "<f4")[::-1], 24_000) == "a text"


def test_an_encoder_that_cannot_be_made_frees_the_model(served):
    live = served(encoders(), models={"tone": ModelSettings(backend="tone", options={"concurrency": 1})})
    body = {"format": {"container": "unmakeable"}, "options": {"seconds": 3600.0, "paced": True}}
    answer = live.speak("a text", **body)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert live.speak("a text").status_code == 200


def test_a_plugin_can_be_kept_from_the_root(served):
    live = served(family(), compat={"family": CompatSettings(root=False)})
    assert live.client.post("/say", json={"what": "family"}).status_code == 404
    assert live.client.post("/compat/family/say", json={"what": "family"}).status_code == 200


PLUGIN = """
from litestar import Request, get, post
from hub import SpeechRequest, hookimpl
from hub.api.respond import speech_response
from hub.testing.tone import register_backends

@hookimpl
def register_routes(hub):
    @get("/v1/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"who": "family"}

    @post("/say", status_code=200)
    async def say(request: Request) -> object:
        return await speech_response(hub, request, SpeechRequest(text="from the family's port"))

    return [health, say]
"""


def test_a_plugin_has_a_port_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "family_plugin.py").write_text(PLUGIN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = f"""
[models.tone]
backend = "tone"
[compat.family]
port = {port}
[[auth.keys]]
name = "a"
key = "a-long-key"
"""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with hub_process(config, plugins={"family": "family_plugin"}, ready=False) as process:
        alone = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": "a-long-key"}, timeout=30)
        with alone:
            assert alone.get("/v1/health").json() == {"who": "family"}
            assert alone.get("/v1/models").status_code == 404
            answer = alone.post("/say")
            samples, rate = soundfile.read(io.BytesIO(answer.content))
            assert tone.decode(samples, rate) == "from the family's port"
            assert alone.post("/say", headers={"x-api-key": "wrong"}).json()["code"] == "unauthorized"
        assert process.client.get("/v1/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("compat", "words"),
    [
        ({"nobody": CompatSettings()}, "there is no plugin 'nobody'"),
        ({"family": CompatSettings(port=8900)}, "already server.port"),
        ({"family": CompatSettings(port=9), "tone": CompatSettings(port=9)}, "already compat.family.port"),
    ],
)
def test_invalid_compat_settings_are_refused(compat, words):
    plugins = Plugins.discover(extra=[tone, family()])
    with pytest.raises(SettingsError, match=re.escape(words)):
        Hub.build(Settings(compat=compat), plugins)
