"""The gpt_sovits backend passes the conformance tests, on tiny checkpoints of v2, v2Pro, v3 and v4."""

from typing import Any, ClassVar

import pytest

from hub.contract import SpeechRequest
from hub.testing.conformance import BackendConformance
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny


class Conformance(BackendConformance):
    backend = "gpt_sovits"
    plugin = "hub_gpt_sovits"
    text = "今天天气真不错。"
    long_text = "今天天气真不错，我们一起去公园散步吧。小院儿里有一朵花儿，真好看！他来了。"
    reference = gpt_sovits_tiny.reference()
    options = {"sample_steps": 2, "fragment_interval": 0.1, "text_lang": "all_zh"}
    bad_options = ({"batch_size": 0}, {"text_lang": "xx"}, {"streaming_mode": 4}, {"top_k": 5})
    odd_texts = ("a", "...", "\x00", "你好", "Hello 你好")
    version: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def checkpoint(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = gpt_sovits_tiny.release(tmp_path_factory.mktemp(cls.version), cls.version)
        cls.model = {"path": folder, "device": "cpu", "options": {"threads": 1, "warm_up": False}}

    def request(self, text: str | None = None, **fields: Any) -> SpeechRequest:
        """A request with a recording to speak like, unless the test names a voice."""
        if "voice" not in fields and "turns" not in fields:
            fields.setdefault("references", (self.reference,))
        return super().request(text, **fields)


class TestGptSovitsV2(Conformance):
    version = "v2"
    # Kana need Open JTalk's dictionary, which no package brings: the tests of the text have it.
    odd_texts = tuple(text for text in BackendConformance.odd_texts if "\u3053" not in text)


class TestGptSovitsV2Pro(Conformance):
    version = "v2Pro"


class FlowConformance(Conformance):
    """The tests for v3 and v4, with few segments and one step: each segment costs a whole chunk of the flow."""

    long_text = "今天天气真不错，我们一起去公园散步吧，真好看。"
    options = {**Conformance.options, "sample_steps": 1}
    odd_texts = ("...", "\x00", "你好")


class TestGptSovitsV3(FlowConformance):
    version = "v3"


class TestGptSovitsV4(FlowConformance):
    version = "v4"
