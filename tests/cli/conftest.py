"""The real program in its own processes, with the tone backend installed as a third party's plugin would be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hub.cli import cli
from hub.cli.session import Session

TONE = '[models.tone]\nbackend = "tone"\n'


def lay(folder: Path, name: str, entry_points: str, **modules: str) -> None:
    """Install a distribution into `folder` as pip would: its metadata, and its modules beside it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hub.plugins]\n{entry_points}\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


class Program:
    """`ttshub` in its own process, in its own folder."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TTSHUB_")}
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        self.environ = {**clean, "PYTHONPATH": path}

    def start(self, *args, **options):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environ = {**self.environ, **options.pop("environ", {})}
        command = [sys.executable, "-m", "hub", *map(str, args)]
        return subprocess.Popen(command, cwd=self.folder, env=environ, **{**pipes, **options})

    def run(self, *args, given=b"", environ=None):
        process = self.start(*args, stdin=subprocess.PIPE, environ=environ or {})
        try:
            out, err = process.communicate(given, timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err.decode())

    def json(self, *args, **options):
        done = self.run(*args, "--json", **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def install():
    return lay


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    lay(folder, "tone-plugin", "tone = hub.testing.tone")
    return folder


@pytest.fixture
def program(tmp_path, site):
    (tmp_path / "hub.toml").write_text(TONE)
    return Program(tmp_path, site)


@pytest.fixture
def invoke(tmp_path, site, monkeypatch):
    """Run the command in this process: quick, for tests that need no worker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))

    def call(*args, **options):
        return CliRunner().invoke(cli, list(map(str, args)), obj=Session(), **options)

    return call


@pytest.fixture(scope="session")
def served(tmp_path_factory, site):
    """The environment variables that point to a running hub, which requires a key."""
    folder = tmp_path_factory.mktemp("served")
    data = f'data = "{folder / "data"}"\n'
    (folder / "hub.toml").write_text(data + TONE + '[[auth.keys]]\nname = "tests"\nkey = "env:KEY"\n')
    program = Program(folder, site)
    process = program.start("serve", "--port", 0, environ={"KEY": "a-key-for-tests"}, stderr=None)
    line = process.stdout.readline().decode()
    yield {"TTSHUB_URL": line.split(" listens at ")[1].strip(), "TTSHUB_API_KEY": "a-key-for-tests"}
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture
def check(invoke, tmp_path):
    """Run it on a hub.toml; return {(what, name): (state, finding)}, and the keys of the problems."""

    def call(text, *args):
        (tmp_path / "hub.toml").write_text(text)
        done = invoke("check", "--json", *args)
        report = json.loads(done.stdout)
        found = {(one["what"], one["name"]): (one["state"], one["finding"]) for one in report["findings"]}
        problems = [subject for subject, (state, _) in found.items() if state == "problem"]
        assert bool(report["problems"]) == bool(problems)
        assert done.exit_code == bool(problems)
        return found, problems

    return call
