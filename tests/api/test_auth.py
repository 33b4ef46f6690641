import httpx
import pytest
import websockets.sync.client
from litestar import WebSocket, websocket
from websockets.exceptions import ConnectionClosed

from hub.api.http.auth import Bucket, KeyHolder, check_bind
from hub.contract.caller import current_caller
from hub.contract.errors import RateLimited
from hub.plugin.spec import hookimpl
from hub.settings import ApiKey, AuthSettings, CorsSettings, ServerSettings, Settings, SettingsError

KEYS = AuthSettings(keys=(ApiKey(name="one", key="key-number-one"), ApiKey(name="two", key="key-number-two")))


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class echo_socket:  # noqa: N801
    @staticmethod
    @hookimpl
    def register_routes(hub):
        @websocket("/echo")
        async def echo(socket: WebSocket) -> None:
            await socket.accept()
            caller = current_caller.get()
            await socket.send_text(caller.name if caller else "nobody")
            await socket.close()

        return [echo]


def test_without_keys_no_key_is_needed(live):
    assert live.speak("a text").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer key-number-one"},
        {"Authorization": "bearer  key-number-two"},
        {"x-api-key": "key-number-one"},
    ],
)
def test_a_known_key_is_accepted_and_named_in_the_report(served, headers):
    live = served(auth=KEYS)
    assert live.client.post("/v1/speech", json={"text": "hello"}, headers=headers).status_code == 200
    assert live.reports.ended.get(timeout=30).caller in ("one", "two")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer key-number-three"},
        {"Authorization": "Basic key-number-one"},
        {"Authorization": "Bearer"},
        {"Authorization": "key-number-one"},
        {"x-api-key": "KEY-NUMBER-ONE"},
    ],
)
def test_other_callers_are_refused(served, headers):
    live = served(auth=KEYS)
    for path in ("/v1/speech", "/v1/backends", "/metrics"):
        answer = (
            live.client.get(path, headers=headers)
            if path != "/v1/speech"
            else live.client.post(path, json={}, headers=headers)
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "key-number" not in answer.text


def test_health_and_documentation_are_open(served):
    live = served(auth=KEYS)
    for path in ("/v1/health", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
        assert live.client.get(path).status_code == 200
    assert live.client.get("/v1/ready").status_code in (200, 503)
    assert set(live.client.get("/openapi.json").json()["components"]["securitySchemes"]) == {"bearer", "apiKey"}


def test_requests_are_limited_by_key(served):
    limited = ApiKey(name="limited", key="key-with-a-limit", requests_per_minute=2)
    live = served(auth=AuthSettings(keys=(limited, *KEYS.keys)))
    mine = {"x-api-key": "key-with-a-limit"}
    assert [live.client.get("/v1/models", headers=mine).status_code for _ in range(3)] == [200, 200, 429]
    refused = live.client.get("/v1/backends", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert live.client.get("/v1/models", headers={"x-api-key": "key-number-one"}).status_code == 200


def test_audio_is_limited_by_key(served):
    limited = ApiKey(name="limited", key="key-with-a-limit", audio_seconds_per_minute=1)
    live = served(auth=AuthSettings(keys=(limited,)))
    mine = {"x-api-key": "key-with-a-limit"}
    long = {"text": "a text of more than twenty-five letters, which is more than one second"}
    assert live.client.post("/v1/speech", json=long, headers=mine).status_code == 200
    refused = live.client.post("/v1/speech", json=long, headers=mine)
    assert refused.status_code == 429
    assert refused.json()["detail"]["limit"] == "audio_seconds"


def test_a_bucket_fills_evenly_and_may_be_overdrawn():
    clock = Clock()
    bucket = Bucket(60, clock)
    bucket.take(90)
    assert bucket.wait(0) == pytest.approx(30)
    clock.now += 31
    assert bucket.wait(0) == 0
    assert bucket.wait(2) == pytest.approx(1)
    clock.now += 10_000
    assert bucket.wait(60) == 0
    assert bucket.wait(61) == pytest.approx(1)


def test_a_limit_below_one_request_per_minute_still_admits_one():
    clock = Clock()
    holder = KeyHolder(ApiKey(name="rare", key="rare-rare-rare", requests_per_minute=0.5), clock)
    holder.admit()
    with pytest.raises(RateLimited) as caught:
        holder.admit()
    assert caught.value.retry_after == pytest.approx(120)
    clock.now += 121
    holder.admit()


def test_websockets_need_a_key_too(served):
    live = served(echo_socket, auth=KEYS)
    url = live.url.replace("http", "ws") + "/echo"
    with websockets.sync.client.connect(url, additional_headers={"x-api-key": "key-number-two"}) as socket:
        assert socket.recv() == "two"
    with websockets.sync.client.connect(url) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv()
    assert caught.value.rcvd.code == 4401


def test_cors(served):
    live = served(auth=KEYS, cors=CorsSettings(origins=("https://app.example",)))
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key, content-type",
    }
    preflight = live.client.options("/v1/speech", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    mine = {"Origin": "https://app.example", "x-api-key": "key-number-one"}
    answer = live.client.post("/v1/speech", json={"text": "hello"}, headers=mine)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "X-Sample-Rate" in answer.headers["access-control-expose-headers"]
    refused = live.client.post("/v1/speech", json={"text": "hello"}, headers={"Origin": "https://app.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    other = live.client.get("/v1/health", headers={"Origin": "https://other.example"})
    assert other.headers.get("access-control-allow-origin") in (None, "https://app.example")
    assert live.client.options("/v1/speech", headers=asked | {"Origin": "https://other.example"}).status_code == 400


def test_no_cors_unless_asked_for(live):
    answer = live.client.get("/v1/health", headers={"Origin": "https://app.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_loopback_needs_no_key(host):
    check_bind(Settings(server=ServerSettings(host=host)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "hub.example", ""])
def test_a_public_address_needs_keys_or_permission(host):
    with pytest.raises(SettingsError, match="allow_public"):
        check_bind(Settings(server=ServerSettings(host=host)))
    check_bind(Settings(server=ServerSettings(host=host, allow_public=True)))
    check_bind(Settings(server=ServerSettings(host=host), auth=KEYS))


def test_a_key_in_the_query_does_not_count(served):
    live = served(auth=KEYS)
    assert httpx.get(f"{live.url}/v1/models?api_key=key-number-one").status_code == 401
