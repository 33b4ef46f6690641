"""`ttshub models` against a running hub."""

import json

import pytest


@pytest.fixture
def ask(invoke, served):
    """Run the command against the running hub."""
    where = ["--url", served["TTSHUB_URL"], "--api-key", served["TTSHUB_API_KEY"]]
    return lambda *args: invoke("models", *args, *where)


def test_loading_unloading_and_the_ledger(ask):
    assert ask("tone", "--unload").exit_code == 0
    model = json.loads(ask("tone", "--load", "--json").stdout)
    assert model["status"]["state"] == "ready"
    assert {"unload", "load", "ready"} <= {entry["action"] for entry in model["ledger"]}
    shown = ask("tone").stdout
    assert "budget of the device" in shown
    assert "by command" in shown
    (row,) = json.loads(ask("--json").stdout)
    assert (row["name"], row["state"], row["device"]) == ("tone", "ready", model["memory"]["device"])
    assert "tone" in ask().stdout
    assert json.loads(ask("tone", "--unload", "--force", "--json").stdout)["status"]["state"] == "stopped"


def test_errors_are_those_of_the_hub(ask, invoke, served):
    unknown = ask("nobody")
    assert (unknown.exit_code, unknown.stderr.splitlines()[0]) == (1, "error: unknown_model")
    stranger = invoke("models", "tone", "--url", served["TTSHUB_URL"])
    assert (stranger.exit_code, stranger.stderr.splitlines()[0]) == (1, "error: unauthorized")


@pytest.mark.parametrize("args", [["--load"], ["tone", "--load"], ["--unload", "tone"], ["nobody"]])
def test_wrong_usage(invoke, args):
    done = invoke("models", *args)
    assert done.exit_code == 2
    assert "model" in done.stderr


@pytest.mark.parametrize("args", [["--load", "--unload"], ["--force"], ["--load", "--force"]])
def test_contradictions(ask, args):
    assert ask("tone", *args).exit_code == 2
