"""The higgs_audio backend passes the conformance tests, with random weights."""

from __future__ import annotations

import pytest

from hub.testing.conformance import BackendConformance


class TestHiggs(BackendConformance):
    backend = "higgs_audio"
    plugin = "hub_higgs_audio"
    options = {"retry": False}  # random weights often give cause for it, and it would double the time
    bad_options = (
        {"chunk_method": "paragraph"},
        {"ras_win_len": -1},
        {"ras_win_max_num_repeat": 0},
        {"generation_chunk_buffer_size": 0},
        {"max_silence": 0},
    )

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def weights(cls, checkpoint):
        cls.model = {
            "path": str(checkpoint),
            "device": "cpu",
            "env": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            "options": {"max_new_tokens": 28, "streams": 3},
        }
