"""`ttshub serve`, and the commands that talk to it."""

import json
import signal
import socket

import httpx
import pytest

from hub.testing import tone


def test_it_prints_its_url_and_ends_in_order(program):
    process = program.start("serve", "--port", 0)
    lines = [process.stdout.readline().decode() for _ in range(3)]
    url = lines[0].split(" listens at ")[1].strip()
    assert lines[1] == "models: tone (default)\n"
    assert lines[2] == f"documentation: {url}/docs\n"
    assert httpx.get(f"{url}/v1/health").json()["status"] == "ok"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in err


def test_flags_override_the_file(program):
    (program.folder / "hub.toml").write_text(
        '[server]\nport = 1\nhost = "192.0.2.1"\n[models.a]\nbackend = "tone"\n[models.b]\nbackend = "tone"\n'
    )
    process = program.start("serve", "--port", 0, "--host", "127.0.0.1", "--model", "b", "--log-level", "error")
    lines = [process.stdout.readline().decode() for _ in range(3)]
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert "http://127.0.0.1:" in lines[0]
    assert lines[1] == "models: a, b (default)\n"
    assert (process.returncode, err) == (0, b"")


def test_a_taken_port(program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = program.run("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith("error: port_taken\n")
    assert str(port) in done.stderr
    assert "--port" in done.stderr


def test_an_address_of_another_machine(program):
    done = program.run("serve", "--host", "192.0.2.1", "--allow-public")
    assert done.returncode == 1
    assert done.stderr.startswith("error: bad_address\n")


def test_running_models(program, served):
    (model,) = program.json("models", environ=served)
    assert (model["name"], model["backend"], model["default"]) == ("tone", "tone", True)
    assert b"tone" in program.run("models", environ=served).stdout


def test_another_kind_of_server_at_the_url(program):
    """A server answers that is not a hub."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        process = program.start("models", "--url", url)
        connection, _ = stranger.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        connection.close()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert b"not as a hub does" in err


@pytest.mark.parametrize("remote", [False, True], ids=["in process", "over HTTP"])
def test_bench(program, served, remote):
    text = "four words of text"
    result = program.json("bench", "-n", 6, "-c", 3, "--text", text, environ=served if remote else {})
    seconds = (len(text) + 2) * tone.SYMBOL / tone.SAMPLE_RATE
    assert (result["requests"], result["failed"], result["model"]) == (6, 0, "tone")
    assert result["audio_seconds"] == pytest.approx(6 * seconds, abs=0.02)
    assert 0 < result["first_audio_p50_ms"] <= result["first_audio_p95_ms"]
    assert result["rtf"] > 0
    assert result["audio_seconds_per_second"] > 0


def test_bench_counts_failures(program):
    (program.folder / "hub.toml").write_text('[models.tone]\nbackend = "tone"\nconcurrency = 1\nqueue = 0\n')
    done = program.run("bench", "-n", 4, "-c", 4, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 5
    assert 1 <= result["failed"] <= 3
    assert result["errors"] == "queue_full"
