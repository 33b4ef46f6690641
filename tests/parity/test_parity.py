"""Every stage of every parity case; the family's plugin computes it from the case's checkpoint."""

import inspect

import numpy as np
import pytest

from tests.support import parity_cases

STAGES = [
    pytest.param(case, stage, id=f"{case.name}/{stage['name']}")
    for case in parity_cases.found().cases
    for stage in case.about["stages"]
]
ROUNDING = 1e-5
"""The relative error that float32 gathers in a deep network, which differs between the kernels of two CPUs."""

KINDS = {"i": "integer", "u": "integer", "f": "float", "b": "bool", "U": "text", "S": "bytes", "c": "complex"}


@pytest.fixture(scope="module")
def model_of():
    """Return a function that loads the model of a case. It keeps one: the stages of a case follow each other."""
    loaded = {}

    def load(case, adapter):
        if case not in loaded:
            loaded.clear()
            try:
                loaded[case] = adapter.load(case.folder / "checkpoint", case.about)
            except Exception as error:  # every stage of the case reports it
                loaded[case] = error
        if isinstance(loaded[case], Exception):
            raise loaded[case]
        return loaded[case]

    return load


@pytest.mark.parametrize(("case", "stage"), STAGES)
def test_stage(case, stage, model_of):
    adapter = parity_cases.import_adapter(parity_cases.found().adapters[case.family])
    if stage["name"] in getattr(adapter, "TRAINING", ()):
        pytest.skip("training stage")
    compute = stage_function(adapter.STAGES, stage["name"])
    assert compute is not None, f"the adapter of {case.family} knows no stage {stage['name']!r}"
    arrays = arrays_of(case, stage)
    model = model_of(case, adapter)
    takes_stage = len(inspect.signature(compute).parameters) > 3

    def answer(inputs):
        given = (model, stage["scalars"], inputs, stage)
        return compute(*given) if takes_stage else compute(*given[:3])

    inputs = {name: arrays[name] for name in stage["in"]}
    found = answer(inputs)
    assert stage["out"], "a stage without results proves nothing"
    for name in stage["out"]:
        assert name in found, f"no {name}; the adapter gave {sorted(found)}"
        result = np.asarray(found[name])
        try:
            compare(name, result, arrays[name], stage)
        except pytest.fail.Exception:
            if not name.startswith("out_wav") or stage["name"] not in getattr(adapter, "OSCILLATING", ()):
                raise
            compare(name, result, arrays[name], {**stage, "atol": swing(name, answer, inputs, result)})


def swing(name, answer, inputs, result):
    """Return twice the most that a result moves, in four draws, when the float inputs move by `ROUNDING`."""
    moved = 0.0
    for seed in range(4):
        random = np.random.default_rng(seed)
        shaken = {
            key: (value * (1 + ROUNDING * random.standard_normal(value.shape))).astype(value.dtype)
            if value.dtype.kind == "f"
            else value
            for key, value in inputs.items()
        }
        moved = max(moved, float(np.abs(np.asarray(answer(shaken)[name]) - result).max()))
    return 2 * moved


def stage_function(stages, name):
    """Return the function of this name, else of the longest `prefix*` that matches."""
    if name in stages:
        return stages[name]
    fitting = [key for key in stages if key.endswith("*") and name.startswith(key[:-1])]
    return stages[max(fitting, key=len)] if fitting else None


def arrays_of(case, stage):
    path = case.folder / f"{stage['name']}.npz"
    if not path.is_file() and not stage["in"] and not stage["out"]:
        return {}
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def compare(name, found, wanted, stage):
    """Fail unless kind, shape and values are those of the case: equal if it is exact, else within its tolerance.

    Text and booleans must always be equal. So must integers, unless the tolerance is in whole numbers (PCM samples)
    and the stage does not ask for exact ids.
    """
    assert KINDS.get(found.dtype.kind) == KINDS[wanted.dtype.kind], f"{name}: {found.dtype}, not {wanted.dtype}"
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, not {wanted.shape}"
    kind = KINDS[wanted.dtype.kind]
    atol, rtol = stage.get("atol", 0.0), stage.get("rtol", 0.0)
    whole_numbers = kind == "integer" and (atol < 1 or stage.get("exact_ids"))
    if stage.get("exact") or whole_numbers or kind not in ("integer", "float", "complex"):
        atol = rtol = 0.0
    if not atol and not rtol:
        wrong = np.asarray(found != wanted)
    else:
        wide = np.complex128 if kind == "complex" else np.float64
        wrong = ~np.isclose(found.astype(wide), wanted.astype(wide), atol=atol, rtol=rtol)
    if wrong.any():
        pytest.fail(f"{name}: {describe(found, wanted, wrong)} (atol {atol:g}, rtol {rtol:g})")


def describe(found, wanted, wrong):
    """Say how many values are wrong, and show the first of them."""
    first = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    words = (
        f"{wrong.sum()} of {wrong.size} values are wrong, the first at {first}: {found[first]!r} for {wanted[first]!r}"
    )
    if found.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            worst = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max()
        words += f"; greatest difference {worst:g}"
    return words
