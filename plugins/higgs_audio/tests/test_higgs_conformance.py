"""Higgs Audio does what the hub asks of every backend, on random weights in each layout."""

from __future__ import annotations

from typing import ClassVar

import pytest
from higgs_tiny import write_checkpoint

from hub.testing.conformance import BackendConformance

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class HiggsConformance(BackendConformance):
    """What both layouts share."""

    backend = "higgs_audio"
    plugin = "hub_higgs_audio"
    boson: ClassVar[bool]
    bad_options = (
        {"chunk_method": "paragraph"},
        {"ras_win_len": -1},
        {"ras_win_max_num_repeat": 0},
        {"generation_chunk_buffer_size": 0},
        {"max_silence": 0},
    )

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def weights(cls, tmp_path_factory):
        folder = write_checkpoint(tmp_path_factory.mktemp("higgs") / "v2", boson=cls.boson)
        cls.model = {
            "path": str(folder),
            "device": "cpu",
            "env": ONE_THREAD,
            "options": {"max_new_tokens": 40, "streams": 3},
        }


class TestBosonLayout(HiggsConformance):
    boson = True


class TestTransformersLayout(HiggsConformance):
    boson = False
    odd_texts = ("...", "<|eot_id|>", "[laugh]")
