"""The base of the conformance tests: their settings, the driver, and requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec.structs import replace

from hub.contract.backend import BackendSpec, ModelConfig
from hub.contract.errors import HubError
from hub.contract.speech import Reference, SpeechRequest
from hub.plugin.manager import Plugins
from hub.settings import ModelSettings
from hub.testing.conformance.verdict import fail, heard
from hub.testing.driver import Answer, Driver, worker_log
from hub.testing.odd_texts import ODD_TEXTS
from hub.testing.own_voice import own_voice


class Base:
    """The settings of a conformance test class, and what its tests share."""

    backend: ClassVar[BackendSpec | str]
    model: ClassVar[Mapping[str, Any]] = {}
    """The `[models.NAME]` settings: path, device, dtype, compile, options, python, env."""
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
    """A recording for backends that clone; default: a sentence in the hub's own voice."""
    patience: ClassVar[float] = 300.0
    """Seconds that one step, including loading, may take."""

    @pytest.fixture(scope="class")
    @classmethod
    def driver(cls) -> Iterator[Driver]:
        """The model in its worker, shared by the tests of the class."""
        driver = cls.make_driver()
        with worker_log() as lines:
            try:
                driver.start()
            except HubError as error:
                driver.close()
                log = "\n".join(lines)
                fail(f"the model does not load: {error}\nThe log of its worker:\n{log}")
        yield driver
        driver.close()

    @classmethod
    def spec(cls) -> BackendSpec:
        """Return the BackendSpec under test."""
        if isinstance(cls.backend, BackendSpec):
            return cls.backend
        plugins = Plugins.discover()
        if cls.backend not in plugins.backends:
            fail(
                f"no installed plugin registers a backend {cls.backend!r}; found: {', '.join(plugins.backends)}. "
                "Install your distribution (pip install -e .) and check its entry point in the group hub.plugins. "
                + "".join(f"Plugin {failure.plugin} failed: {failure.error}" for failure in plugins.failures)
            )
        return plugins.backends[cls.backend]

    @classmethod
    def make_driver(cls, *, probe: bool = True) -> Driver:
        """Return a driver of the model; with `probe`, its worker can look inside itself (`hub.testing.probe`)."""
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
        """Return a request for `text` (default: the class's), with a seed if the model takes one."""
        options = {**self.options, **fields.pop("options", {})}
        if self.spec().capabilities.seed:
            fields.setdefault("seed", 7)
        if "turns" not in fields:
            fields["text"] = self.text if text is None else text
        return SpeechRequest(options=options, **fields)

    def _recording(self) -> Reference:
        """Return the recording to clone, encode and convert."""
        return self.reference or own_voice()

    def _speak(self, driver: Driver, request: SpeechRequest) -> Answer:
        """Speak `request`, which must give audio that can be heard."""
        return heard(driver.speak(request))
