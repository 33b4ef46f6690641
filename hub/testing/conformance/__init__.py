"""The conformance tests: what every backend must get right. A plugin's tests subclass BackendConformance.

    from hub.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"                                # a registered name, or a BackendSpec
        model = {"path": "/models/mine", "device": "cpu"}

Everything runs in the backend's real worker process. Needs pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import msgspec
import pytest
from msgspec.structs import replace

from hub.audio.pcm import wav_facts
from hub.contract.backend import BackendSpec, ModelConfig
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import HubError, InvalidRequest, all_errors
from hub.contract.event import AudioChunk, Done, Span
from hub.contract.speech import Reference, Sampling, SpeechRequest, Turn
from hub.contract.tokens import Tokens
from hub.contract.voice import VoiceDraft
from hub.plugin.manager import Plugins
from hub.service.speech.checks import check_options
from hub.settings import ModelSettings
from hub.testing.driver import Answer, Driver, words_of_workers
from hub.testing.odd_texts import ODD_TEXTS
from hub.testing.own_voice import own_voice
from hub.testing.probe import PROBE, RELOAD, STOP
from hub.testing.sounds import alike

HEAVY = ("torch", "torchaudio", "transformers", "onnxruntime", "tensorflow", "jax", "librosa", "scipy")
"""Packages that a plugin may import in its worker only."""

_LANGUAGE = re.compile(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*")


class BackendConformance:
    """Subclass it, name it Test..., and set `backend`."""

    backend: ClassVar[BackendSpec | str]
    model: ClassVar[Mapping[str, Any]] = {}
    """Of `[models.NAME]`: path, device, dtype, compile, options, python, env."""
    plugin: ClassVar[str] = ""
    """The module that the entry point names. If set, a test imports it alone and looks for heavy packages."""
    text: ClassVar[str] = "The hub speaks, and every word is heard."
    long_text: ClassVar[str] = (
        "A lighthouse keeper wrote down the weather every evening. On Monday there was fog. On Tuesday the wind turned "
        "west and brought rain. On Wednesday nothing happened at all, and he wrote that down as well. On Thursday a "
        "ship passed close enough to wave. On Friday he read the whole week aloud, and it was a good story."
    )
    options: ClassVar[Mapping[str, Any]] = {}
    """Request options that every test sends."""
    bad_options: ClassVar[tuple[dict[str, Any], ...]] = ()
    """Options that the backend's Struct must refuse."""
    odd_texts: ClassVar[tuple[str, ...]] = ODD_TEXTS
    reference: ClassVar[Reference | None] = None
    """A recording for backends that clone; default: a sentence by the hub's own voice."""
    patience: ClassVar[float] = 300.0
    """Seconds that one step, loading included, may take."""

    # -- what the tests use -----------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def driver(cls) -> Iterator[Driver]:
        """The model in its worker, shared by the tests of the class."""
        driver = cls.make_driver()
        with words_of_workers() as words:
            try:
                driver.start()
            except HubError as error:
                driver.close()
                said = "\n".join(words)
                _fail(f"the model does not load: {error}\nIts worker said:\n{said}")
        yield driver
        driver.close()

    @classmethod
    def spec(cls) -> BackendSpec:
        """The BackendSpec under test."""
        if isinstance(cls.backend, BackendSpec):
            return cls.backend
        plugins = Plugins.discover()
        if cls.backend not in plugins.backends:
            _fail(
                f"no installed plugin registers a backend {cls.backend!r}; found: {', '.join(plugins.backends)}. "
                "Install your distribution (pip install -e .) and check its entry point in the group hub.plugins. "
                + "".join(f"Plugin {failure.plugin} failed: {failure.error}" for failure in plugins.failures)
            )
        return plugins.backends[cls.backend]

    @classmethod
    def make_driver(cls, *, probe: bool = True) -> Driver:
        """A worker for the model; with `probe`, one that can look inside of itself (`hub.testing.probe`)."""
        spec = cls.spec()
        settings = msgspec.convert({"backend": spec.name, **cls.model}, ModelSettings)
        config = ModelConfig(
            name=spec.name,
            backend=spec.name,
            path=settings.path,
            device=settings.device,
            dtype=settings.dtype,
            compile=settings.compile,
            options=settings.options,
        )
        if probe:
            config = replace(config, options={"synthesizer": spec.synthesizer, "options": settings.options})
            spec = replace(spec, synthesizer="hub.testing.probe:Probe")
        return Driver(spec, config, python=settings.python, env=settings.env, patience=cls.patience)

    def request(self, text: str | None = None, **fields: Any) -> SpeechRequest:
        """A request for `text` (default: the class's), with a seed where the model takes one."""
        options = {**self.options, **fields.pop("options", {})}
        if self.spec().capabilities.seed:
            fields.setdefault("seed", 7)
        if "turns" not in fields:
            fields["text"] = self.text if text is None else text
        return SpeechRequest(options=options, **fields)

    # -- what is declared -------------------------------------------------------------------------

    def test_the_spec_is_complete(self) -> None:
        spec = self.spec()
        _must(bool(spec.title and spec.licence), "give the BackendSpec a title and the licence of the weights")
        for name, keywords in spec.default_models.items():
            try:
                msgspec.convert({"backend": spec.name, **keywords}, ModelSettings)
            except msgspec.ValidationError as error:
                _fail(f"default_models[{name!r}] would not do as a [models.{name}] table: {error}")
        for name, one in spec.checkpoints.items():
            _must(bool(one.huggingface or one.modelscope), f"checkpoints[{name!r}] does not say where it is published")
            try:
                msgspec.convert({"backend": spec.name, "path": name, **one.model}, ModelSettings)
            except msgspec.ValidationError as error:
                _fail(f"checkpoints[{name!r}].model would not do as a [models.{name}] table: {error}")

    def test_options_are_a_strict_struct(self) -> None:
        spec = self.spec()
        if spec.options is None:
            _must(not self.options, "the class sends options, and the BackendSpec declares none")
            return
        config = spec.options.__struct_config__
        _must(
            config.forbid_unknown_fields,
            f"declare {spec.options.__name__} with forbid_unknown_fields=True: a misspelt option must be an error",
        )
        try:
            msgspec.convert({}, spec.options)
        except msgspec.ValidationError as error:
            _fail(f"every option needs a default, because a request may leave options out: {error}")
        msgspec.json.schema(spec.options)  # GET /v1/backends publishes it
        check_options(dict(self.request().options), spec)

    def test_bad_options_are_refused(self) -> None:
        spec = self.spec()
        for options in ({"no_such_option": 1}, *self.bad_options):
            try:
                check_options(dict(self.request(options=options).options), spec)
            except InvalidRequest:
                continue
            _fail(f"options {options!r} were taken; constrain the fields of the options Struct")

    def test_the_plugin_imports_nothing_heavy(self) -> None:
        if not self.plugin:
            pytest.skip("set `plugin` to the module that your entry point names")
        code = f"import sys, {self.plugin}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        _must(result.returncode == 0, f"importing {self.plugin} fails:\n{result.stderr}")
        found = result.stdout.split()
        _must(
            not found,
            f"importing {self.plugin} imports {', '.join(found)}; move such imports to the synthesizer's module, "
            "which only the worker imports",
        )

    # -- the loaded model -------------------------------------------------------------------------

    def test_it_loads_and_says_what_it_can(self, driver: Driver) -> None:
        loaded = driver.start()
        can = loaded.capabilities
        _must(can.sample_rate > 0, "declare `sample_rate`, in the BackendSpec or in `capabilities` after load")
        _must(loaded.concurrency >= 1, f"`concurrency` is {loaded.concurrency}; it must be at least 1")
        bad = [language for language in can.languages if not _LANGUAGE.fullmatch(language)]
        _must(not bad, f"`languages` must be BCP 47 tags such as en or zh-CN, not {bad}")
        _must(
            can.preset_voices or can.cloning or not loaded.voices,
            "voices() lists voices, and neither preset_voices nor cloning is declared",
        )

    def test_it_lists_its_voices(self, driver: Driver) -> None:
        loaded = driver.start()
        ids = [voice.id for voice in loaded.voices]
        _must(
            bool(ids) == loaded.capabilities.preset_voices,
            f"preset_voices is {loaded.capabilities.preset_voices}, and voices() lists {len(ids)} voices",
        )
        _must(all(ids) and len(set(ids)) == len(ids), f"voice ids must be there and unique, not {ids}")
        _must(
            sum(voice.default for voice in loaded.voices) <= 1,
            "only one voice can be the default one",
        )
        answers = [self._speak(driver, self.request(voice=voice)) for voice in ids[:3]]
        heard = {answer.samples.tobytes() for answer in answers}
        _must(len(heard) == len(answers), f"some of the voices {ids[:3]} sound exactly the same")

    def test_audio_is_finite_and_at_the_declared_rate(self, driver: Driver) -> None:
        answer = self._speak(driver, self.request())
        declared = driver.start().capabilities.sample_rate
        rates = {chunk.sample_rate for chunk in answer.chunks}
        _must(rates == {declared}, f"chunks come at {rates} Hz, declared are {declared} Hz")

    def test_spans_and_marks_lie_within(self, driver: Driver) -> None:
        answer = self._speak(driver, self.request(self.long_text))
        given: list[Span | None] = [chunk.span for chunk in answer.chunks] + [mark.span for mark in answer.marks]
        spans = [span for span in given if span is not None]
        outside = [span for span in spans if not 0 <= span[0] <= span[1] <= len(self.long_text)]
        _must(not outside, f"spans {outside} are not within the {len(self.long_text)} characters of the text")
        slack = 0.05
        bad = [mark for mark in answer.marks if not 0 <= mark.start <= mark.end <= answer.seconds + slack]
        _must(not bad, f"marks must be in seconds from the start of the stream ({answer.seconds:.2f} s long): {bad}")

    def test_it_streams_before_it_is_done(self, driver: Driver) -> None:
        if not driver.start().capabilities.streaming:
            pytest.skip("the backend does not declare streaming")
        answer = self._speak(driver, self.request(self.long_text))
        _must(
            len(answer.chunks) > 1 and answer.chunks[0].seconds < answer.seconds / 2,
            f"streaming is declared, and the first of {len(answer.chunks)} chunks holds {answer.chunks[0].seconds:.1f} "
            f"of {answer.seconds:.1f} s: yield audio as soon as it exists",
        )

    def test_it_stops_within_one_chunk(self, driver: Driver) -> None:
        whole = self._speak(driver, self.request(self.long_text))
        report = _report(driver.speak(self.request(self.long_text, options={PROBE: STOP})))
        if len(whole.chunks) == 1:
            _must(report["asked"] > 0, "speak never asks stop.is_set(): ask it between the steps of the model")
            return
        late = report["chunks_after_stop"]
        _must(
            late <= 1,
            f"{late} chunks came after stop was set: ask stop.is_set() before each step and return once it is true",
        )

    def test_one_seed_gives_one_audio(self, driver: Driver) -> None:
        if not driver.start().capabilities.seed:
            pytest.skip("the backend does not declare seed")
        first, second = (self._speak(driver, self.request(seed=1234)) for _ in range(2))
        _must(
            alike(first.samples, second.samples),
            "two requests with the same seed gave different audio: use a random generator of your own for each request",
        )

    def test_requests_at_once_do_not_mix(self, driver: Driver) -> None:
        loaded = driver.start()
        texts = [_turned(self.long_text, number) for number in range(max(3, min(loaded.concurrency, 4)))]
        requests = [self.request(text) for text in texts]
        alone = [self._speak(driver, request) for request in requests]
        together = [_heard(answer) for answer in driver.speak_together(requests)]
        if not loaded.capabilities.seed:
            return
        mixed = [
            text for text, one, many in zip(texts, alone, together, strict=True) if not alike(one.samples, many.samples)
        ]
        _must(
            not mixed,
            f"{len(mixed)} of {len(texts)} requests sound different when they are spoken at once, with the same seed: "
            "keep the state of a request out of the synthesizer, or declare concurrency = 1",
        )

    def test_speed_changes_the_pace(self, driver: Driver) -> None:
        if not driver.start().capabilities.speed:
            pytest.skip("the backend does not declare speed")
        slow, normal, fast = (self._speak(driver, self.request(speed=speed)) for speed in (0.75, 1.0, 1.5))
        _must(
            slow.seconds > normal.seconds > fast.seconds,
            f"at speeds 0.75, 1 and 1.5 the text takes {slow.seconds:.2f}, {normal.seconds:.2f} and "
            f"{fast.seconds:.2f} s: speed is declared, and must change the pace",
        )

    def test_declared_features_are_taken(self, driver: Driver) -> None:
        can = driver.start().capabilities
        wanted: list[SpeechRequest] = [self.request(language=can.languages[0])] if can.languages else []
        if can.instruct:
            wanted.append(self.request(instruct="Speak calmly."))
        if can.dialogue:
            wanted.append(self.request(turns=(Turn(text=self.text, speaker="a"), Turn(text=self.text, speaker="b"))))
        if can.sampling:
            wanted.append(self.request(sampling=Sampling(temperature=0.7, top_k=30, top_p=0.8)))
        for request in wanted:
            self._speak(driver, request)

    # -- cloning ----------------------------------------------------------------------------------

    def test_it_clones(self, driver: Driver) -> None:
        if not driver.start().capabilities.cloning:
            pytest.skip("the backend does not declare cloning")
        self._speak(driver, self.request(references=(self.reference or own_voice(),)))

    def test_it_prepares_voices(self, driver: Driver) -> None:
        cloning = driver.start().capabilities.cloning
        draft = VoiceDraft(references=(self.reference or own_voice(),) if cloning else ())
        try:
            state = driver.call("make_voice", draft)
        except HubError as error:
            expected = not cloning and error.code == "unsupported_capability"
            _must(expected, f"make_voice ended with {error.code}: {error.message}")
            return
        _must(cloning, "make_voice works, and cloning is not declared")
        _must(isinstance(state, bytes) and bool(state), "make_voice must return bytes that are not empty")
        _must(not state.startswith(b"\x80"), "make_voice returned a pickle; use safetensors or msgpack")

    # -- recordings -------------------------------------------------------------------------------

    def test_its_codec_goes_there_and_back(self, driver: Driver) -> None:
        can = driver.start().capabilities
        if not can.codec:
            pytest.skip("the backend does not declare codec")
        recording = (self.reference or own_voice()).audio
        tokens, again = (msgspec.convert(driver.call("encode", recording), Tokens) for _ in range(2))
        _must(tokens.codebooks > 0 and tokens.frames > 0, "encode gave no tokens of an ordinary recording")
        _must(min(map(min, tokens.rows)) >= 0, "encode gave token ids below 0")
        _must(tokens == again, "encode gave other tokens the second time; a codec draws nothing")
        chunk = msgspec.convert(driver.call("decode", tokens), AudioChunk)
        decoded = Answer(chunks=[chunk], marks=[], ending=Done())
        _must(not decoded.problem, f"decode, of the tokens of an ordinary recording, {decoded.problem}")
        _must(
            chunk.sample_rate == can.sample_rate,
            f"decode gives {chunk.sample_rate} Hz, declared are {can.sample_rate} Hz",
        )
        seconds = wav_facts(recording).seconds
        _must(
            abs(chunk.seconds - seconds) <= 0.25 * seconds,
            f"a recording of {seconds:.2f} s is {chunk.seconds:.2f} s long after encode and decode",
        )

    def test_tokens_of_no_codec_are_refused(self, driver: Driver) -> None:
        if not driver.start().capabilities.codec:
            pytest.skip("the backend does not declare codec")
        rows = msgspec.convert(driver.call("encode", (self.reference or own_voice()).audio), Tokens).rows
        wrong = {
            "with a codebook too many": [*rows, rows[0]],
            "of no codebook": [[2**31 - 1] * len(row) for row in rows],
        }
        for words, given in wrong.items():
            try:
                driver.call("decode", Tokens.from_rows(given))
            except HubError as error:
                _must(error.status == 400, f"tokens {words} ended with {error.code}: raise InvalidRequest")
            else:
                _fail(f"tokens {words} were decoded: raise InvalidRequest")

    def test_it_converts(self, driver: Driver) -> None:
        loaded = driver.start()
        if not loaded.capabilities.conversion:
            pytest.skip("the backend does not declare conversion")
        recording = self.reference or own_voice()
        target: dict[str, Any] = {"references": (replace(recording, text=None),)}
        if loaded.voices and not loaded.capabilities.cloning:
            target = {"voice": loaded.voices[0].id}
        seed = 1234 if loaded.capabilities.seed else None
        options = dict(self.options)
        request = ResolvedConversion(audio=recording.audio, seed=seed, options=options, **target)
        first, second = (_heard(driver.convert(request)) for _ in range(2))
        rates = {chunk.sample_rate for chunk in first.chunks}
        _must(
            rates == {loaded.capabilities.sample_rate},
            f"converted chunks come at {rates} Hz, declared are {loaded.capabilities.sample_rate} Hz",
        )
        _must(
            seed is None or alike(first.samples, second.samples),
            "two conversions with the same seed gave different audio",
        )
        report = _report(driver.convert(replace(request, options={**options, PROBE: STOP})))
        late = report["chunks_after_stop"]
        _must(late <= 1, f"{late} converted chunks came after stop was set: ask stop.is_set() before each step")

    # -- what goes wrong --------------------------------------------------------------------------

    def test_odd_texts_are_spoken_or_refused(self, driver: Driver) -> None:
        problems = []
        for text in self.odd_texts:
            answer = driver.speak(self.request(text))
            if answer.fault is None:
                problem = answer.problem
            elif _status(answer.fault.code) == 400:
                problem = "" if answer.fault.message else "was refused without a message"
            else:
                problem = f"ended with {answer.fault.code}: {answer.fault.message}"
            if problem:
                problems.append(f"{text[:40]!r} ({len(text)} characters) {problem}")
        _must(
            not problems,
            "each text must give audio, or a typed error such as hub.contract.errors.UnspeakableText:\n"
            + "\n".join(problems),
        )

    def test_an_unknown_voice_is_never_another(self, driver: Driver) -> None:
        answer = driver.speak(self.request(voice="no-such-voice"))
        _must(answer.fault is not None, "a voice that does not exist was spoken with another one: raise UnknownVoice")
        assert answer.fault is not None
        known = ("unknown_voice", "unsupported_capability")
        _must(
            answer.fault.code in known,
            f"a voice that does not exist ended with {answer.fault.code}: raise UnknownVoice",
        )

    def test_a_fault_leaves_the_model_intact(self, driver: Driver) -> None:
        before = self._speak(driver, self.request())
        driver.speak(self.request(voice="no-such-voice"))
        driver.speak(self.request(self.long_text, options={PROBE: STOP}))
        after = self._speak(driver, self.request())
        if driver.start().capabilities.seed:
            _must(
                alike(before.samples, after.samples),
                "after a fault and a stopped request the same request with the same seed sounds different",
            )

    # -- the end ----------------------------------------------------------------------------------

    def test_close_frees_what_load_took(self, driver: Driver) -> None:
        first, *_, last = _report(driver.speak(self.request(options={PROBE: RELOAD})))["megabytes"]
        _must(
            last <= first * 1.25 + 64,
            f"the process grew from {first:.0f} to {last:.0f} MB while the model was closed and loaded again: "
            "free it in close()",
        )

    def test_its_process_ends(self, driver: Driver) -> None:
        driver.stop()  # room for another one
        plain = self.make_driver(probe=False)
        try:
            plain.start()
            self._speak(plain, self.request())
            pid = plain.engine.status.pid
        finally:
            plain.close()
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def _speak(self, driver: Driver, request: SpeechRequest) -> Answer:
        return _heard(driver.speak(request))


def _fail(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


def _must(condition: bool, message: str) -> None:
    if not condition:
        _fail(message)


def _heard(answer: Answer) -> Answer:
    """`answer`, which must be audio that can be heard."""
    if answer.fault is not None:
        _fail(f"an ordinary request ended with {answer.fault.code}: {answer.fault.message}")
    problem = answer.problem
    _must(not problem, f"an ordinary request {problem}")
    return answer


def _turned(text: str, count: int) -> str:
    """`text` from another word on, or in a script without spaces from another character on."""
    separator = " " if " " in text else ""
    words = text.split() if separator else list(text)
    start = 3 * count % len(words)
    return separator.join(words[start:] + words[:start])


def _status(code: str) -> int:
    return next((error.status for error in all_errors() if error.code == code), 500)


def _report(answer: Answer) -> dict[str, Any]:
    if not isinstance(answer.ending, Done):
        _fail(f"an ordinary request ended with {answer.ending.code}: {answer.ending.message}")
    return answer.ending.report
