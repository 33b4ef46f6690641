"""The conformance tests find every fault: for each rule, a backend that breaks only this one."""

import contextlib
import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from hub.contract import BackendSpec, Checkpoint
from hub.contract.errors import WorkerStartFailed
from hub.testing.conformance import BackendConformance
from tests.support import ROOT, broken

HERE = str(ROOT)


class TestSound(BackendConformance):
    """The backend from which the broken ones derive has no fault."""

    backend = broken.spec(broken.Sound)
    model = {"env": {"PYTHONPATH": HERE}}


def conformance(spec, **attributes):
    return type("Conformance", (BackendConformance,), {"backend": spec, "model": TestSound.model, **attributes})


def run(kind, test, **attributes):
    """Run one conformance test on a broken backend, in its own worker."""
    tests = conformance(broken.spec(kind), patience=60, **attributes)
    with contextlib.closing(tests.make_driver()) as driver:
        getattr(tests(), test)(driver)


@pytest.mark.parametrize(
    "test", ["test_its_codec_goes_there_and_back", "test_tokens_of_no_codec_are_refused", "test_it_converts"]
)
def test_a_sound_codec_and_converter_pass(test):
    run(broken.Recorder, test)


@pytest.mark.parametrize(
    ("kind", "test", "message"),
    [
        (broken.NoRate, "test_it_loads_and_says_what_it_can", "sample_rate"),
        (broken.BadLanguage, "test_it_loads_and_says_what_it_can", "BCP 47"),
        (broken.NoVoices, "test_it_lists_its_voices", "lists 0 voices"),
        (broken.TwoOfAName, "test_it_lists_its_voices", "unique"),
        (broken.TwoDefaults, "test_it_lists_its_voices", "default"),
        (broken.OneVoiceForAll, "test_it_lists_its_voices", "exactly the same"),
        (broken.WrongRate, "test_audio_is_finite_and_at_the_declared_rate", "declared rate is 16000 Hz"),
        (broken.NotANumber, "test_audio_is_finite_and_at_the_declared_rate", "not finite"),
        (broken.Silent, "test_audio_is_finite_and_at_the_declared_rate", "silence"),
        (broken.TooLoud, "test_audio_is_finite_and_at_the_declared_rate", r"\[-1, 1\]"),
        (broken.SpanOutside, "test_spans_and_marks_lie_within", "not within"),
        (broken.MarkInSamples, "test_spans_and_marks_lie_within", "seconds from the start"),
        (broken.NotStreaming, "test_it_streams_before_it_is_done", "yield audio as soon as it exists"),
        (broken.DeafToStop, "test_it_stops_within_one_chunk", "chunks came after stop"),
        (broken.DeafAndWhole, "test_it_stops_within_one_chunk", "never asks"),
        (broken.ForgetsSeed, "test_one_seed_gives_one_audio", "same seed"),
        (broken.SharedState, "test_requests_at_once_do_not_mix", "spoken at once"),
        (broken.OnePace, "test_speed_changes_the_pace", "pace"),
        (broken.NoInstruct, "test_declared_features_are_taken", "NotImplementedError"),
        (broken.ClonesNothing, "test_it_clones", "ValueError"),
        (broken.ClonesNothing, "test_it_prepares_voices", "not empty"),
        (broken.Pickles, "test_it_prepares_voices", "pickle"),
        (broken.NoTokens, "test_its_codec_goes_there_and_back", "no tokens"),
        (broken.MoodyCodec, "test_its_codec_goes_there_and_back", "second time"),
        (broken.OtherRate, "test_its_codec_goes_there_and_back", "declared rate is 16000 Hz"),
        (broken.ShortCodec, "test_its_codec_goes_there_and_back", "s long after encode and decode"),
        (broken.DecodesAnything, "test_tokens_of_no_codec_are_refused", "too many were decoded"),
        (broken.ChokesOnTokens, "test_tokens_of_no_codec_are_refused", "raise InvalidRequest"),
        (broken.ForgetsSeedOfConversions, "test_it_converts", "same seed"),
        (broken.ConvertsDeaf, "test_it_converts", "after stop"),
        (broken.ChokesOnText, "test_odd_texts_are_spoken_or_refused", "UnicodeEncodeError"),
        (broken.DropsText, "test_odd_texts_are_spoken_or_refused", "gave 0 ms"),
        (broken.AnotherVoice, "test_an_unknown_voice_is_never_another", "another one"),
        (broken.VoiceCrash, "test_an_unknown_voice_is_never_another", "raise UnknownVoice"),
        (broken.Moody, "test_a_fault_leaves_the_model_intact", "sounds different"),
        (broken.Hoards, "test_close_frees_what_load_took", r"free it in close\(\)"),
    ],
)
def test_it_finds_a_broken_rule(kind, test, message):
    with pytest.raises(pytest.fail.Exception, match=message):
        run(kind, test)


def test_a_backend_that_does_not_load():
    with pytest.raises(WorkerStartFailed, match="OSError"):
        run(broken.DoesNotLoad, "test_it_loads_and_says_what_it_can")


def test_a_backend_that_does_not_load_is_reported_with_its_workers_log(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "from tests.support import broken\nfrom hub.testing.conformance import BackendConformance\n"
        "class TestIt(BackendConformance):\n"
        "    backend = broken.spec(broken.DoesNotLoad)\n"
        f"    model = {{'env': {{'PYTHONPATH': {HERE!r}}}}}\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": HERE}, cwd=tmp_path)
    assert "the model does not load: the backend did not load (OSError)" in done.stdout
    assert "OSError: no such file" in done.stdout


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"licence": ""}, "test_the_spec_is_complete", "licence"),
        ({"default_models": {"x": {"pth": "y"}}}, "test_the_spec_is_complete", "pth"),
        ({"checkpoints": {"x": Checkpoint(modelscope="a/b", model={"pth": "y"})}}, "test_the_spec_is_complete", "pth"),
        ({"checkpoints": {"x": Checkpoint()}}, "test_the_spec_is_complete", "published"),
        ({"options": broken.LooseOptions}, "test_options_are_a_strict_struct", "forbid_unknown_fields"),
        ({"options": broken.NeedyOptions}, "test_options_are_a_strict_struct", "default"),
    ],
)
def test_it_finds_a_broken_rule_in_the_spec(changes, test, message):
    tests = conformance(replace(broken.spec(broken.Sound), **changes))()
    with pytest.raises(pytest.fail.Exception, match=message):
        getattr(tests, test)()


def test_a_checkpoint_may_be_published_on_github_alone():
    checkpoints = {"x": Checkpoint(github="acme/voice", revision="0" * 40)}
    conformance(replace(broken.spec(broken.Sound), checkpoints=checkpoints))().test_the_spec_is_complete()


def test_bad_options_that_are_accepted():
    spec = broken.spec(broken.Sound, options=broken.LooseOptions)
    tests = conformance(spec, bad_options=({"loudness": 1e9},))()
    with pytest.raises(pytest.fail.Exception, match="constrain"):
        tests.test_bad_options_are_refused()


def test_a_plugin_that_imports_heavy_packages():
    tests = conformance(broken.spec(broken.Sound), plugin="onnxruntime")()
    with pytest.raises(pytest.fail.Exception, match="imports onnxruntime"):
        tests.test_the_plugin_imports_nothing_heavy()


def test_a_plugin_that_does_not_import():
    tests = conformance(broken.spec(broken.Sound), plugin="no_such_plugin")()
    with pytest.raises(pytest.fail.Exception, match="ModuleNotFoundError"):
        tests.test_the_plugin_imports_nothing_heavy()


def test_a_backend_that_no_plugin_registers():
    with pytest.raises(pytest.fail.Exception, match=r"group hub\.plugins"):
        conformance("no-such-backend").spec()


def test_an_installed_backend_is_found_by_its_name():
    assert isinstance(conformance("hibari").spec(), BackendSpec)
