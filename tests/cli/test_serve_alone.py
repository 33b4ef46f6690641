"""A plugin's command that serves its family alone."""

import os
import signal
import socket

import httpx
import pytest

from hub.testing.fixtures import hub_process

PLUGIN = """
import click
from litestar import Request, get
from hub import SpeechRequest, hookimpl
from hub.api.respond import speech_response
from hub.cli.serve_alone import serve_alone
from hub.settings import ModelSettings
from hub.testing.tone import register_backends


@hookimpl
def register_routes(hub):
    @get("/v1/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"who": "family"}

    @get("/say")
    async def say(request: Request) -> object:
        return await speech_response(hub, request, SpeechRequest(text="alone"), stream=True)

    return [health, say]


@hookimpl
def register_commands(cli):
    @cli.command("family-serve")
    @click.option("--host", default="127.0.0.1")
    @click.option("--port", default=0)
    @click.option("--key", multiple=True)
    @click.option("--model/--no-model", default=True)
    @click.option("--plugin", default="family")
    @click.option("--config", type=str)
    @click.pass_obj
    def family(session, host, port, key, model, plugin, config):
        session.config = config or session.config
        models = {"mine": ModelSettings(backend="tone")} if model else {}
        serve_alone(session, plugin, host=host, port=port, models=models, api_keys=key)
"""
CONFIG = '[models.other]\nbackend = "hibari"\n'


@pytest.fixture
def family(tmp_path, monkeypatch):
    (tmp_path / "family_plugin.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return {"family": "family_plugin"}


def test_only_the_familys_paths_and_models_are_served(family):
    command = ("family-serve", "--key", "short")
    with hub_process(CONFIG, plugins=family, ready=False, command=command) as process:
        client = httpx.Client(base_url=process.url, headers={"Authorization": "Bearer short"}, timeout=60)
        with client:
            assert client.get("/v1/health").json() == {"who": "family"}
            assert client.get("/v1/health", headers={"Authorization": "Bearer wrong"}).status_code == 401
            assert client.get("/say").headers["x-model"] == "mine"
            for path in ("/v1/backends", "/docs", "/compat/family/say"):
                assert client.get(path).json()["code"] == "not_found"
        assert "with the API of family alone\nmodels: mine\n" in process.logged
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(30) == 0
        assert "Traceback" not in process.logged


def test_a_public_address_without_a_key_is_served_with_a_warning(family):
    with hub_process(plugins=family, ready=False, command=("family-serve", "--host", "0.0.0.0")) as process:
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/health").json() == {"who": "family"}
        assert "anyone may use this server" in process.logged


def refused(plugins, *command, config=CONFIG):
    with (
        pytest.raises(RuntimeError) as raised,
        hub_process(config, plugins=plugins, ready=False, command=("family-serve", *command)),
    ):
        pass
    return str(raised.value)


def test_failures_to_start_are_reported(family):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "port_taken" in refused(family, "--port", str(taken.getsockname()[1]))
    assert "no model of plugin 'family' is configured" in refused(family, "--no-model")
    assert "plugin 'nobody' has no routes to serve" in refused(family, "--no-model", "--plugin", "nobody", config="")
