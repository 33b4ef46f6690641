"""The runner of the parity cases, tested on a tiny family of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import parity_cases

ROOT = Path(__file__).parent.parent.parent

ADAPTER = """
import numpy as np
import toy_stages

FAMILY = "toy"
TRAINING = frozenset({"loss"})
OSCILLATING = frozenset({"hum"})


def load(checkpoint, case):
    with open(checkpoint.parent / "loads", "a") as record:
        record.write("x")
    return float((checkpoint / "factor").read_text())


STAGES = {
    "scale": lambda model, scalars, inputs: {"out_x": inputs["in_x"] * model + scalars["plus"]},
    "hum": lambda model, scalars, inputs: {"out_wav": np.sin(inputs["in_x"] * 1e4), "out_mel": inputs["in_x"]},
    "buzz": lambda model, scalars, inputs: {"out_wav": np.sin(inputs["in_x"] * 1e4)},
    "named_*": lambda model, scalars, inputs, stage: {"out_name": np.array(stage["name"])},
    "named_twice_*": lambda model, scalars, inputs, stage: {"out_name": np.array(stage["name"] * 2)},
    **toy_stages.STAGES,
}
"""
HELPER = """
STAGES = {
    "ids": lambda model, scalars, inputs: {"out_ids": inputs["in_ids"]},
    "missing": lambda model, scalars, inputs: {"out_other": inputs["in_ids"]},
    "breaks": lambda model, scalars, inputs: 1 / 0,
}
"""
X = np.array([1.0, -2.0], dtype=np.float32)
IDS = np.array([150000, 7])


class Family:
    """Cases of the family `toy`, and its plugin, in their own folder."""

    def __init__(self, folder):
        self.folder = folder
        tests = folder / "plugins" / "toy" / "tests"
        tests.mkdir(parents=True)
        (tests / "parity.py").write_text(ADAPTER)
        (tests / "toy_stages.py").write_text(HELPER)

    def case(self, name, *stages, under="cases", family="toy"):
        folder = self.folder / under / name
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "checkpoint" / "factor").write_text("3")
        listed = []
        for about, arrays in stages:
            np.savez(folder / f"{about['name']}.npz", **arrays)
            names = {side: [key for key in arrays if key.startswith(side)] for side in ("in", "out")}
            listed.append({"what": "a stage", "scalars": {}, **names, **about})
        (folder / "case.json").write_text(json.dumps({"family": family, "variant": name, "stages": listed}))
        return folder

    def environ(self, *folders):
        return {
            "HUB_PARITY_CASES": os.pathsep.join(str(self.folder / folder) for folder in folders),
            "HUB_PARITY_PLUGINS": str(self.folder / "plugins"),
        }


def scale(name="scale", out=X * 3 + 1, **about):
    return {"name": name, "scalars": {"plus": 1}, "atol": 1e-4, "rtol": 0, **about}, {"in_x": X, "out_x": out}


def hum(name="hum", *, moved=0.0, mel=X):
    """A wave that a rounding of its input by 1e-5 moves by about 0.1; the case's differs by `moved` from it."""
    arrays = {"in_x": X, "out_wav": np.sin(X * 1e4) + np.float32(moved)}
    about = {"name": name, "atol": 1e-4, "rtol": 0}
    return about, arrays if name == "buzz" else {**arrays, "out_mel": mel}


def ids(name="ids", out=IDS, **about):
    return {"name": name, **about}, {"in_ids": IDS, "out_ids": out}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run all cases below at once; return (test id -> outcome, the output, the folder)."""
    family = Family(tmp_path_factory.mktemp("toy"))
    family.case("right", scale(), ids(exact=True), ids("loss"))
    family.case("near", scale(out=X * 3 + 1.00005))
    family.case("far", scale(out=X * 3 + 1.001))
    family.case("exact", scale(out=X * 3 + 1.00005, exact=True))
    family.case("off_by_one", ids(out=IDS + 1, atol=1e-3, rtol=1e-3))
    family.case("pcm", ids(out=IDS + 1, atol=2, rtol=0))
    family.case("exact_ids", ids(out=IDS + 1, atol=2, rtol=0, exact_ids=True))
    family.case("nan", scale(out=np.full(2, np.nan, np.float32)))
    family.case("shape", scale(out=np.ones((1, 2), np.float32)))
    family.case("kind", ids(out=IDS.astype(np.float32), atol=1e9))
    family.case("odd", ids("missing", exact=True), ids("breaks", exact=True), ids("never_heard_of", exact=True))
    family.case("stars", *(named(name, name * times) for name, times in (("named_a", 1), ("named_twice_b", 2))))
    family.case("hums", hum(moved=0.01))
    family.case("hums_far", hum(moved=1.5))
    family.case("hums_mel", hum(mel=X + np.float32(0.01)))
    family.case("hums_buzz", hum("buzz", moved=0.01))
    broken = family.case("broken", scale(), ids(exact=True))
    (broken / "checkpoint" / "factor").write_text("three")
    family.case("right", scale(), under="all/toy")
    family.case("two", scale(), under="all/toy")
    family.case("three", scale(), under="all/other", family="other")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests/parity/test_parity.py"],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": "", **family.environ("cases", "all")},
        capture_output=True,
        text=True,
    )
    lines = re.findall(r"test_stage\[(\S+)\] (PASSED|FAILED|SKIPPED|ERROR)", done.stdout)
    return dict(lines), done.stdout + done.stderr, family.folder


def named(name, wanted):
    return {"name": name, "exact": True}, {"out_name": np.array(wanted)}


def test_right_numbers_pass_and_wrong_ones_fail(run):
    outcomes, printed, _ = run
    assert outcomes == {
        "toy/broken/ids": "FAILED",
        "toy/broken/scale": "FAILED",
        "toy/exact/scale": "FAILED",
        "toy/exact_ids/ids": "FAILED",
        "toy/far/scale": "FAILED",
        "toy/hums/hum": "PASSED",
        "toy/hums_buzz/buzz": "FAILED",
        "toy/hums_far/hum": "FAILED",
        "toy/hums_mel/hum": "FAILED",
        "toy/kind/ids": "FAILED",
        "toy/nan/scale": "FAILED",
        "toy/near/scale": "PASSED",
        "toy/odd/breaks": "FAILED",
        "toy/odd/missing": "FAILED",
        "toy/odd/never_heard_of": "FAILED",
        "toy/off_by_one/ids": "FAILED",
        "toy/pcm/ids": "PASSED",
        "toy/right+2/scale": "PASSED",
        "toy/right/ids": "PASSED",
        "toy/right/loss": "SKIPPED",
        "toy/right/scale": "PASSED",
        "toy/shape/scale": "FAILED",
        "toy/stars/named_a": "PASSED",
        "toy/stars/named_twice_b": "PASSED",
        "toy/two/scale": "PASSED",
    }
    assert "2 of 2 values are wrong, the first at (0,): np.float32(4.0) for np.float32(4.001)" in printed


@pytest.mark.parametrize(
    "words",
    [
        "out_x: shape (2,), not (1, 2)",
        "out_ids: int64, not float32",
        "no out_ids; the adapter gave ['out_other']",
        "ZeroDivisionError",
        "the adapter of toy knows no stage 'never_heard_of'",
        "could not convert string to float: 'three'",
        "training stage",
    ],
)
def test_the_reason_is_reported(run, words):
    assert words in run[1]


def test_a_checkpoint_is_loaded_once(run):
    assert (run[2] / "cases" / "right" / "loads").read_text() == "x"


def test_the_header_counts_the_cases_and_names_families_without_an_adapter(run):
    assert "parity: 19 cases from HUB_PARITY_CASES; no adapter for other" in run[1]


def found_in(monkeypatch, family, *folders):
    for name, value in family.environ(*folders).items():
        monkeypatch.setenv(name, value)
    return parity_cases.found.__wrapped__()


def test_a_path_is_a_case_a_folder_of_cases_or_of_families(tmp_path, monkeypatch):
    family = Family(tmp_path)
    for name in ("a", "b"):
        family.case(name, scale(), under="all/toy")
    for folder, names in (("all", ["toy/a", "toy/b"]), ("all/toy", ["toy/a", "toy/b"]), ("all/toy/b", ["toy/b"])):
        assert [case.name for case in found_in(monkeypatch, family, folder).cases] == names
    assert [case.name for case in found_in(monkeypatch, family, "all/toy/b", "all").cases] == ["toy/b", "toy/a"]


def test_a_path_without_cases_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(pytest.UsageError, match=r"HUB_PARITY_CASES: no case\.json in"):
        found_in(monkeypatch, Family(tmp_path), "nowhere")


def test_without_external_cases_a_run_says_so():
    line = parity_cases.summary_of([1, 2], set(), "")
    if parity_cases.SHARED_CASES.is_dir():
        assert line == "parity: 2 cases of the repository and of ../shared/parity"
    else:
        assert "no external ones (HUB_PARITY_CASES is not set, ../shared/parity is not there)" in line
