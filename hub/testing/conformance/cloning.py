"""Cloning: speaking like a recording, and preparing voices."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hub.contract.errors import HubError
from hub.contract.speech import ResolvedRequest
from hub.contract.voice import VoiceDraft
from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import fail, must
from hub.testing.driver import Driver


class Cloning(Base):
    """Tests of voices from recordings."""

    def test_it_clones(self, driver: Driver) -> None:
        if not driver.start().capabilities.cloning:
            pytest.skip("the backend does not declare cloning")
        self._speak(driver, self.request(references=(self._recording(),)))

    def test_it_prepares_voices(self, driver: Driver) -> None:
        cloning = driver.start().capabilities.cloning
        draft = VoiceDraft(references=(self._recording(),) if cloning else ())
        try:
            state = driver.call("make_voice", draft)
        except HubError as error:
            if cloning or error.code != "unsupported_capability":
                fail(f"make_voice ended with {error.code}: {error.message}")
            return
        must(cloning, "make_voice works, but cloning is not declared")
        must(isinstance(state, bytes) and bool(state), "make_voice must return bytes that are not empty")
        must(not state.startswith(b"\x80"), "make_voice returned a pickle; use safetensors or msgpack")

    def test_it_speaks_with_the_voice_that_it_prepared(self, driver: Driver) -> None:
        capabilities = driver.start().capabilities
        if not capabilities.cloning:
            pytest.skip("the backend does not declare cloning")
        reference = self._recording()
        try:
            state = driver.call("make_voice", VoiceDraft(references=(reference,)))
        except HubError as error:
            must(not capabilities.prepared_suffices, f"make_voice ended with {error.code}, and `prepared_suffices`")
            pytest.skip("the backend clones from the references alone")
        if capabilities.prepared_suffices:
            reference = replace(reference, audio=b"")  # as the hub sends it then
        request = ResolvedRequest.of(self.request())
        self._speak(driver, replace(request, references=(reference,), prepared=state))
