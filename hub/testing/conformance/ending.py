"""The end: memory is freed, and the process ends."""

from __future__ import annotations

import os

import pytest

from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import must, report_of
from hub.testing.driver import Driver
from hub.testing.probe import PROBE, RELOAD


class Ending(Base):
    """Tests that end the worker."""

    def test_close_frees_what_load_took(self, driver: Driver) -> None:
        first, *_, last = report_of(driver.speak(self.request(options={PROBE: RELOAD})))["megabytes"]
        must(
            last <= first * 1.25 + 64,
            f"the process grew from {first:.0f} to {last:.0f} MB while the model was closed and loaded again: "
            "free it in close()",
        )

    def test_its_process_ends(self, driver: Driver) -> None:
        driver.stop()  # frees the memory for another worker
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
