"""Reading the documentation, and running its examples.

A fenced block with a title is a file (```python title="speak.py"). A `console` block is a session: a line that begins
with `$ ` is a command, and the lines after it are its output, where `...` matches anything. A block marked `no-run` is
not run. A command without output on the page may print anything.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

DOCS = ROOT / "docs"
USUAL_URL = "http://127.0.0.1:8900"

_SERVES = re.compile(r"ttshub (?:([\w-]+) )?serve\b")
"""A command that keeps running: the hub, or (group 1) a family alone."""
_ADDRESS = re.compile(r"(--listen [\w.]+:|--port[ =])(\d+)")

_FENCE = re.compile(r"^(`{3,})(\w*)([^\n]*)\n(.*?)^\1$", re.M | re.S)
_MATCH = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: its language, its title (a file name, or ""), its other marks, its text, and its first line."""

    language: str
    title: str
    marks: frozenset[str]
    text: str
    line: int


class Command(NamedTuple):
    """A command of a console block, and its output on the page."""

    text: str
    prints: str
    line: int


def read(name: str) -> str:
    """Return a page, by its path from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page's text, in order."""
    found = []
    for match in _FENCE.finditer(page):
        title = re.search(r'title="([^"]+)"', match[3])
        marks = frozenset(re.sub(r'title="[^"]+"', "", match[3]).split())
        line = page.count("\n", 0, match.start()) + 1
        found.append(Block(match[2], title[1] if title else "", marks, match[4], line))
    return found


def prose(page: str) -> str:
    """Return the page without its fenced blocks."""
    return _FENCE.sub("", page)


def tables(page: str) -> list[list[list[str]]]:
    """Return the tables of a page: their rows, header first, each a list of cells."""
    found: list[list[list[str]]] = []
    inside = False
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
            inside = True
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            found[-1].append(cells)
    return found


def sections(page: str, level: int = 2) -> dict[str, str]:
    """Return the text below each heading of one level."""
    parts = re.split(rf"^{'#' * level} (.+)$", page, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block. A line that ends in a backslash continues on the next."""
    found: list[Command] = []
    open_command = False
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Command(line[2:], "", number))
        elif open_command:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line}")
        else:
            found[-1] = found[-1]._replace(prints=f"{found[-1].prints}{line}\n")
        open_command = line.endswith("\\") and (open_command or line.startswith("$ "))
    return found


class Shell:
    """Runs the commands of a page in its own folder.

    `ttshub serve` and `ttshub FAMILY serve` get a free port instead of the page's, and run until the next server or
    `close`.
    """

    def __init__(self, folder: Path, python: Path | str = sys.executable, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.url = self.usual = USUAL_URL
        self._server: subprocess.Popen[str] | None = None
        paths = [str(Path(python).parent), sysconfig.get_path("scripts")]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TTSHUB_")}
        self.env = environ | {"PATH": os.pathsep.join([*paths, environ["PATH"]]), "COLUMNS": "120"} | (env or {})

    def follow(self, name: str) -> int:
        """Write the files and run the commands of a page; return how many commands ran."""
        count = 0
        for block in blocks(read(name)):
            if "no-run" in block.marks:
                continue
            if block.title:
                self._write(block)
            elif block.language == "console":
                for command in commands(block):
                    self._run(command, name)
                    count += 1
        return count

    def close(self) -> None:
        """Stop the server, if one is running."""
        server, self._server, self.url = self._server, None, self.usual
        if server is not None:
            server.terminate()
            server.communicate(timeout=30)

    def _write(self, block: Block) -> None:
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text.replace(self.usual, self.url), encoding="utf-8")

    def _run(self, command: Command, name: str) -> None:
        where = f"{name}:{command.line}: {command.text}"
        if _SERVES.search(command.text) and not {"||", "--help"} & set(command.text.split()):
            printed = self._serve(command.text)
        else:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command.text.replace(self.usual, self.url)],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=300,
            )
            printed = done.stdout
            assert done.returncode == 0, f"{where}\nended with {done.returncode}:\n{printed}"
        printed = printed.replace(self.url, self.usual)
        if command.prints:
            same = doctest.OutputChecker().check_output(command.prints, printed, _MATCH)
            assert same, f"{where}\nshould print:\n{command.prints}\nprinted:\n{printed[:4000]}"

    def _serve(self, text: str) -> str:
        self.usual = USUAL_URL
        family = _SERVES.search(text)[1]
        if family and (address := _ADDRESS.search(text)):
            self.usual = f"http://127.0.0.1:{address[2]}"
            text = _ADDRESS.sub(r"\g<1>0", text)
        else:
            text += " --port 0"
        self.close()
        self._server = subprocess.Popen(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        assert self._server.stdout is not None
        printed = everything = ""
        for line in self._server.stdout:
            everything += line
            if line.startswith(("tts-hub", "models:", "documentation:")):
                printed += line
            if found := re.search(r"listens at (\S+)", line):
                self.url = found[1]
            if line.startswith("models:" if family else "documentation:"):
                return printed
        raise AssertionError(f"{text} did not begin to listen:\n{everything}")
