"""`ttshub tasks` against a running hub, and `ttshub book` with one and without."""

import json
import os
import signal
import subprocess
import time

import httpx
import pytest
import soundfile

from hub.testing import tone

BOOK = "# A book\n\n" + "".join(
    f"## Part {number}\n\n" + " ".join(f"Sentence {n} of part {number}." for n in range(12)) + "\n\n"
    for number in range(1, 5)
)


@pytest.fixture
def client(served):
    headers = {"x-api-key": served["TTSHUB_API_KEY"]}
    with httpx.Client(base_url=served["TTSHUB_URL"], headers=headers, timeout=60, trust_env=False) as client:
        yield client


def create(client, **body):
    answer = client.post("/v1/tasks/speech", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["id"]


def heard(file):
    samples, rate = soundfile.read(file)
    return tone.decode(samples, rate)


def test_tasks_are_listed_watched_fetched_and_deleted(program, served, client):
    id = create(client, id="cli", text="Hello from a task.", subtitles=True)
    done = program.run("tasks", "watch", id, environ=served)
    assert (done.returncode, done.stderr) == (0, "cli: completed\n")
    (listed,) = [task for task in program.json("tasks", "list", environ=served) if task["id"] == id]
    assert (listed["state"], listed["progress"]["done"]) == ("completed", 1)
    assert "cli" in program.run("tasks", "list", "--state", "completed", environ=served).stdout.decode()
    assert program.run("tasks", "result", id, "--out", "a.wav", environ=served).returncode == 0
    assert heard(program.folder / "a.wav") == "Hello from a task."
    program.run("tasks", "result", id, "-o", "a.srt", "--subtitles", "srt", environ=served)
    assert "Hello from a task." in (program.folder / "a.srt").read_text()
    assert program.run("tasks", "delete", id, environ=served).returncode == 0
    gone = program.run("tasks", "watch", id, environ=served)
    assert (gone.returncode, "not_found" in gone.stderr) == (1, True)


def test_watching_a_cancelled_task_fails(program, served, client):
    id = create(client, text="hum", options={"seconds": 1000.0, "paced": True})
    watching = program.start("tasks", "watch", environ=served)
    assert program.run("tasks", "cancel", id, environ=served).stdout.decode() == f"{id}: cancelled\n"
    watching.communicate(timeout=60)
    assert watching.returncode in (0, 1)  # 0: it was cancelled before the watch began
    assert program.run("tasks", "watch", id, environ=served).returncode == 1


def test_a_missing_hub_is_one_clear_line(program):
    done = program.run("tasks", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode == 4
    assert "no hub answers" in done.stderr


def book(program, *more, **options):
    return program.run("book", "book.md", "--out", "out", "-f", "wav", *more, **options)


@pytest.mark.parametrize("remote", [False, True], ids=["in process", "at a hub"])
def test_a_book_is_a_file_a_chapter_and_is_not_spoken_twice(program, served, remote):
    environ = served if remote else {}
    (program.folder / "book.md").write_text(BOOK)
    done = book(program, "--subtitles", "vtt", "--voice", "low", environ=environ)
    assert done.returncode == 0, done.stderr
    out = program.folder / "out"
    names = ["01 Chapter 1", *(f"{n + 1:02} Part {n}" for n in range(1, 5))]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{name}.{kind}" for name in names for kind in ("wav", "vtt")), "book.json"]
    )
    assert heard(out / "01 Chapter 1.wav") == "A book"
    assert "Sentence 3 of part 4." in (out / "05 Part 4.vtt").read_text()
    manifest = json.loads((out / "book.json").read_text())
    assert [chapter["title"] for chapter in manifest["chapters"]][1:] == [f"Part {n}" for n in range(1, 5)]
    stamps = {path: path.stat().st_mtime_ns for path in out.iterdir()}

    (out / "03 Part 2.wav").unlink()
    assert book(program, "--subtitles", "vtt", "--voice", "low", environ=environ).returncode == 0
    changed = {path.name for path in out.iterdir() if stamps[path] != path.stat().st_mtime_ns}
    assert changed == {"03 Part 2.wav", "03 Part 2.vtt", "book.json"}
    if remote:
        assert program.json("tasks", "list", environ=environ) == [] or not any(
            task["id"].startswith("book-") for task in program.json("tasks", "list", environ=environ)
        )


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_book_goes_on_and_ends_like_an_undisturbed_one(program, how):
    (program.folder / "book.md").write_text(BOOK)
    (program.folder / "hub.toml").write_text('[tasks]\nsegment_chars = 40\n[models.tone]\nbackend = "tone"\n')
    slow = ("--seed", "4", "--option", "step_ms=3")
    out = program.folder / "out"
    for name in ("02 Part 1.wav", "04 Part 3.wav"):
        process = program.start("book", "book.md", "--out", "out", "-f", "wav", *slow, stderr=subprocess.PIPE)
        while not ((out / "book.json").exists() and name in (out / "book.json").read_text()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(how)
        _, words = process.communicate(timeout=60)
        assert process.returncode == (130 if how == signal.SIGINT else -how), words
        assert (out / ".ttshub").is_dir()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert book(program, *slow).returncode == 0
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done
    assert not (out / ".ttshub").exists()
    whole = {path.name: path.read_bytes() for path in out.glob("*.wav")}
    again = program.run("book", "book.md", "--out", "again", "-f", "wav", *slow)
    assert again.returncode == 0
    assert {path.name: path.read_bytes() for path in (program.folder / "again").glob("*.wav")} == whole


def test_files_that_are_not_books_are_refused(program):
    (program.folder / "a.pdf").write_text("x")
    (program.folder / "a.epub").write_text("x")
    for name, words in (("a.pdf", "use a .txt, .md or .epub"), ("a.epub", "damaged, or not an EPUB")):
        done = program.run("book", name, "--out", "out")
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    (program.folder / "a.txt").write_text("Hello.")
    done = program.run("book", "a.txt", "--out", "out", "--voice", "nobody")
    assert done.returncode == 1
    assert "nobody" in done.stderr
