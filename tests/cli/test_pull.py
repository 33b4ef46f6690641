"""`ttshub pull` with the real huggingface_hub, against a publisher on loopback."""

import io
import json
import random
import tarfile
import time
import tomllib
import zipfile
from functools import partial

import pytest
from huggingface_hub.utils import close_session

from tests.support.publisher import COMMIT, publishing, sha256

PLUGIN = """
from hub import hookimpl
from hub.contract import BackendSpec, Checkpoint

@hookimpl
def register_backends(settings):
    both = dict(huggingface="acme/voice", modelscope="acme/voice", files=("*.json", "weights/*"))
    return [
        BackendSpec(name="acme", contract=1, synthesizer="acme:Acme", licence="MIT", checkpoints={{
            "small": Checkpoint(**both, size=300_000, model={{"dtype": "float16", "options": {{"beam size": 2}}}}),
            "pinned": Checkpoint(**both, sha256={{"weights/model.bin": "{pin}"}}),
            "nowhere": Checkpoint(huggingface="acme/gone"),
            "mute": Checkpoint(modelscope="acme/gone"),
            "old": Checkpoint(huggingface="acme/voice", revision="v0"),
            "whole": Checkpoint(**both, parts={{"codec": Checkpoint(huggingface="acme/voice", files=("README.md",))}}),
            "tables": Checkpoint(**both, parts={{
                "code": Checkpoint(github="acme/voice", revision="{commit}", files=("README.md", "weights/*")),
            }}),
            "gone": Checkpoint(github="acme/gone", revision="{commit}"),
            "packed": Checkpoint(**{{**both, "files": ("packed/*",)}}, unpack=True),
        }}),
        BackendSpec(name="one", contract=1, synthesizer="a:A", checkpoints={{
            "default": Checkpoint(huggingface="acme/voice"),
        }}),
        BackendSpec(name="none", contract=1, synthesizer="acme:Acme"),
    ]
"""
WEIGHTS = random.Random(1).randbytes(300_000)
FILES = {
    "config.json": b'{"rate": 24000}',
    "weights/model.bin": WEIGHTS,
    "weights/empty.txt": b"",
    "README.md": b"not asked for",
    ".gitattributes": b"*.bin lfs",
}


@pytest.fixture
def publisher():
    with publishing() as publisher:
        publisher.files = dict(FILES)
        yield publisher


@pytest.fixture
def pull(invoke, publisher, install, tmp_path, monkeypatch):
    """Run `ttshub pull` in this process; the backends come from an installed plugin."""
    site = tmp_path / "plugin"
    install(site, "acme-plugin", "acme = acme_plugin", acme_plugin=PLUGIN.format(pin=sha256(WEIGHTS), commit=COMMIT))
    monkeypatch.syspath_prepend(str(site))
    environ = {
        "HF_ENDPOINT": publisher.url,
        "MODELSCOPE_ENDPOINT": publisher.url,
        "GITHUB_API_URL": publisher.url,
        "TTSHUB_DATA": str(tmp_path / "data"),
        "NO_PROXY": "*",
    }

    def run(*args, environ={}, command="pull"):  # noqa: B006
        with monkeypatch.context() as patch:
            for name, value in {**run.environ, **environ}.items():
                patch.setenv(name, value)
            return invoke(command, *args)

    run.environ = environ
    run.models = partial(run, command="models")
    run.site = site
    run.folder = tmp_path / "data" / "models" / "acme" / "small"
    yield run
    close_session()


@pytest.fixture
def start(pull, program):
    """Start `ttshub pull` in its own process."""
    program.environ |= pull.environ
    program.environ["PYTHONPATH"] = f"{pull.site}:{program.environ['PYTHONPATH']}"
    return lambda *args, **environ: program.start("pull", *args, environ=environ)


def held(folder):
    """Return the files in a folder, without the program's own records."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if not path.name.startswith(".")}


WANTED = {name: data for name, data in FILES.items() if name.endswith(".json") or name.startswith("weights/")}


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_a_checkpoint_arrives_and_can_be_configured(pull, publisher, source):
    done = pull("acme", "small", "--source", source)
    assert done.exit_code == 0, done.stderr
    assert held(pull.folder) == WANTED
    assert (COMMIT if source == "hf" else "master") in done.stderr
    model = tomllib.loads(done.stdout)["models"]["small"]
    assert model == {
        "backend": "acme",
        "path": str(pull.folder),
        "dtype": "float16",
        "options": {"beam size": 2},
    }
    assert str(pull.folder) in pull.models().stdout
    before = len(publisher.ranges("model.bin"))
    again = json.loads(pull("acme", "small", "--source", source, "--json").stdout)
    assert (again["fetched"], again["files"], again["size"]) == (0, 3, sum(map(len, WANTED.values())))
    assert len(publisher.ranges("model.bin")) == before == 1


def test_parts_from_other_repositories_are_fetched_too(pull):
    done = pull("acme", "whole", "--json")
    assert done.exit_code == 0, done.stderr
    folder = pull.folder.parent / "whole"
    assert held(folder) == WANTED | {"codec/README.md": FILES["README.md"]}
    assert json.loads(done.stdout)["files"] == len(WANTED) + 1
    assert pull("acme", "whole", "--offline").exit_code == 0
    (folder / "codec" / "README.md").unlink()
    assert pull("acme", "whole", "--offline").exit_code == 1


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_a_github_checkpoint_comes_from_github_whatever_the_source(pull, publisher, source):
    publisher.cut = {"weights/model.bin": 200_000}
    assert pull("acme", "tables", "--source", source).exit_code == 0
    folder = pull.folder.parent / "tables"
    code = {name: FILES[name] for name in ("README.md", "weights/empty.txt", "weights/model.bin")}
    assert held(folder) == WANTED | {f"code/{name}": data for name, data in code.items()}
    publisher.served = {"README.md": b"not what is listed"[: len(FILES["README.md"])]}
    (folder / "code" / "README.md").unlink()
    assert "checksum" in pull("acme", "tables").stderr
    assert "no repository 'acme/gone'" in pull("acme", "gone").stderr


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("words/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_archives_are_unpacked_and_then_deleted(pull, publisher, source):
    inside = {"reader/model.onnx": WEIGHTS, "reader/words.txt": b"words"}
    words = {"words/sys.dic": b"a dictionary", "words/empty": b""}
    publisher.files |= {"packed/reader.zip": zipped(inside), "packed/words.tar.gz": tarred(words)}
    assert pull("acme", "packed", "--source", source).exit_code == 0
    folder = pull.folder.parent / "packed"
    unpacked = {f"packed/{name}": data for name, data in (inside | words).items()}
    assert held(folder) == unpacked
    assert json.loads(pull("acme", "packed", "--source", source, "--json").stdout)["fetched"] == 0
    assert pull("acme", "packed", "--offline").exit_code == 0
    (folder / "packed" / "words" / "sys.dic").unlink()
    assert "packed/words/sys.dic" in pull("acme", "packed", "--offline").stderr
    assert pull("acme", "packed", "--source", source).exit_code == 0
    assert held(folder) == unpacked
    publisher.files["packed/reader.zip"] = zipped({"reader/words.txt": b"other words"})
    assert pull("acme", "packed", "--source", source).exit_code == 0
    assert held(folder)["packed/reader/words.txt"] == b"other words"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("evil.zip", zipped({"good": b"1", "../../evil": b"2"}), "dangerous name"),
        ("evil.tar.gz", tarred({"good": b"1", "/tmp/evil": b"2"}), "dangerous name"),
        ("cut.zip", zipped({"good": WEIGHTS})[:2000], "damaged archive"),
        ("cut.tar.gz", tarred({"good": WEIGHTS})[:2000], "damaged archive"),
    ],
)
def test_a_bad_archive_leaves_nothing_behind(pull, publisher, tmp_path, name, content, words):
    publisher.files[f"packed/{name}"] = content
    done = pull("acme", "packed")
    assert (done.exit_code, words in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert set(held(pull.folder.parent / "packed")) == {f"packed/{name}"}
    assert not list(tmp_path.rglob("evil"))
    assert pull("acme", "packed", "--offline").exit_code == 1


def test_files_that_changed_are_fetched_again(pull, publisher):
    pull("acme", "small")
    (pull.folder / "config.json").write_bytes(b'{"rate": 99999}')  # as long as before
    publisher.files["weights/model.bin"] = WEIGHTS[::-1]
    assert pull("acme", "small").exit_code == 0
    assert held(pull.folder) == WANTED | {"weights/model.bin": WEIGHTS[::-1]}


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(pull, publisher, source):
    publisher.cut = {"weights/model.bin": 120_000}
    done = pull("acme", "small", "--source", source)
    assert done.exit_code == 0, done.stderr
    assert held(pull.folder) == WANTED
    first, *others = publisher.ranges("model.bin")
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in others]
    assert first is None
    assert starts == sorted(set(starts))
    assert starts


def test_a_killed_pull_goes_on_where_it_stopped(pull, start, publisher):
    publisher.stuck = {"weights/model.bin": 200_000}
    part = pull.folder / "weights" / f".model.bin.{sha256(WEIGHTS)[:16]}.part"
    process = start("acme", "small")
    deadline = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 200_000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    publisher.asked = []
    assert pull("acme", "small").exit_code == 0
    assert held(pull.folder) == WANTED
    assert publisher.ranges("model.bin") == ["bytes=200000-"]
    assert not part.exists()


def test_a_server_without_ranges_sends_the_whole_file_again(pull, publisher):
    part = pull.folder / "weights" / f".model.bin.{sha256(WEIGHTS)[:16]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS[:1000])
    publisher.deaf_to_range = True
    assert pull("acme", "small").exit_code == 0
    assert publisher.ranges("model.bin") == ["bytes=1000-"]
    assert held(pull.folder) == WANTED


def test_a_busy_server_is_asked_again(pull, publisher):
    publisher.failing = 2
    assert pull("acme", "small").exit_code == 0
    assert held(pull.folder) == WANTED


@pytest.mark.parametrize("source", ["hf", "modelscope"])
@pytest.mark.parametrize("name", ["weights/model.bin", "config.json"])
def test_a_wrong_checksum_is_refused_and_thrown_away(pull, publisher, source, name):
    publisher.served = {name: FILES[name][:-1] + b"!"}
    done = pull("acme", "small", "--source", source)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: checksum_mismatch\n  {name}: ")
    assert name not in held(pull.folder)
    assert not list(pull.folder.rglob(".*.part"))
    assert pull("acme", "small", "--offline").exit_code == 1


def test_a_file_that_differs_from_the_pinned_one_is_not_fetched(pull, publisher):
    assert pull("acme", "pinned").exit_code == 0
    publisher.files["weights/model.bin"] = WEIGHTS[::-1]
    publisher.asked = []
    done = pull("acme", "pinned")
    assert "differs from the one that the plugin pins" in done.stderr
    assert not publisher.ranges("model.bin")


def test_paths_that_leave_the_folder_are_refused(pull, publisher, tmp_path):
    publisher.files["weights/../../../../evil.json"] = b"{}"
    done = pull("acme", "small")
    assert "dangerous name" in done.stderr
    assert not list(tmp_path.rglob("evil.json"))


@pytest.mark.parametrize(("source", "variable"), [("hf", "HF_TOKEN"), ("modelscope", "MODELSCOPE_API_TOKEN")])
def test_gated_weights_say_what_to_do_and_a_token_opens_them(pull, publisher, source, variable):
    publisher.gated, publisher.token = True, "a_secret"
    done = pull("acme", "small", "--source", source)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: access_denied")
    assert variable in done.stderr
    done = pull("acme", "small", "--source", source, environ={variable: "a_secret"})
    assert done.exit_code == 0
    assert held(pull.folder) == WANTED
    elsewhere = [allowed for path, _, allowed in publisher.asked if path.startswith("/cdn/")]
    assert elsewhere
    assert not any(elsewhere)  # the token goes to the publisher, not to the host that it redirects to
    assert "a_secret" not in done.output


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["acme", "nowhere"], "not_found", "no repository 'acme/gone'"),
        (["acme", "mute"], "not_found", "no repository 'acme/gone'"),
        (["acme", "mute", "--source", "hf"], "not_found", "--source modelscope"),
        (["acme", "old"], "not_found", "no revision 'v0'"),
        (["acme", "small", "--revision", "nope"], "not_found", "no revision 'nope'"),
        (["acme", "small", "--offline"], "incomplete", "without --offline"),
    ],
)
def test_missing_repositories_revisions_and_files_are_reported(pull, args, code, words):
    done = pull(*args)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {code}\n")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_publisher_that_cannot_be_reached(pull, start):
    closed = "http://127.0.0.1:9"
    for source in ("hf", "modelscope"):
        done = pull("acme", "small", "--source", source, environ={"HF_ENDPOINT": closed, "MODELSCOPE_ENDPOINT": closed})
        assert done.exit_code == 4
        assert done.stderr.startswith("error: source_unreachable")
    _, words = start("acme", "small", HF_HUB_OFFLINE="1").communicate()
    assert words.startswith(b"error: offline")


def test_offline_sends_no_request_and_reports_missing_files(pull, publisher):
    pull("acme", "small")
    publisher.asked = []
    done = pull("acme", "small", "--offline", environ={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert done.exit_code == 0
    assert "[models.small]" in done.stdout
    assert publisher.asked == []
    (pull.folder / "config.json").unlink()
    assert "config.json" in pull("acme", "small", "--offline").stderr


def test_another_folder_and_the_only_variant(pull, tmp_path):
    done = pull("one", "--dir", tmp_path / "my weights")
    assert done.exit_code == 0
    assert tomllib.loads(done.stdout)["models"]["one"]["path"] == str(tmp_path / "my weights")
    assert held(tmp_path / "my weights") == {name: data for name, data in FILES.items() if name != ".gitattributes"}


def test_a_folder_that_cannot_be_written_is_a_clear_error(pull, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = pull("one", "--dir", tmp_path / "file" / "below")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: storage_failed")


def test_listing_and_wrong_usage(pull):
    table = pull().stdout
    assert "acme/voice" in table
    assert "293 KiB" in table
    assert {"acme", "one"} <= set(json.loads(pull("--json").stdout))  # families may be installed, too
    for args, words in {
        ("acme",): "small, pinned, nowhere, mute, old, whole",
        ("acme", "huge"): "no checkpoint 'huge'",
        ("none",): "nothing to pull",
        ("who",): "no backend 'who'",
    }.items():
        done = pull(*args)
        assert done.exit_code == 2
        assert words in done.stderr
