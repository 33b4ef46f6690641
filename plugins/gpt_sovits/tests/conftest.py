"""One hub with a tiny v2 for all tests of routes."""

from importlib.metadata import entry_points

import pytest

from hub.settings import CompatSettings, ModelSettings, PluginSettings, Settings
from hub.testing.fixtures import serve_hub
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny

OTHERS = tuple(point.name for point in entry_points(group="hub.plugins") if point.name != "gpt_sovits")
"""All other plugins that are installed."""


@pytest.fixture(scope="session")
def gpt_sovits_release(tmp_path_factory):
    """The folder of a tiny v2, with fine-tuned weights beside it."""
    folder = tmp_path_factory.mktemp("tiny-v2")
    gpt_sovits_tiny.release(folder, "v2")
    (folder / "GPT_weights_v2").mkdir()
    (folder / "SoVITS_weights_v2").mkdir()
    s1 = folder / "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt"
    (folder / "GPT_weights_v2/mine-e15.ckpt").write_bytes(s1.read_bytes())
    s2 = folder / "gsv-v2final-pretrained/s2G2333k.pth"
    (folder / "SoVITS_weights_v2/mine_e8_s96.pth").write_bytes(s2.read_bytes())
    return folder


@pytest.fixture(scope="session")
def gpt_sovits_recordings(tmp_path_factory):
    """A folder of recordings as the family's users keep them."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "参考音频").mkdir()
    (folder / "参考音频" / "[jok老师]你好世界.wav").write_bytes(gpt_sovits_tiny.recording())
    (folder / "plain.wav").write_bytes(gpt_sovits_tiny.recording(pitch=150))
    (folder / "plain.txt").write_text("你好，世界真美好。", encoding="utf-8")
    (folder / "Mine").mkdir()
    (folder / "Mine" / "Spoken.wav").write_bytes(gpt_sovits_tiny.recording(pitch=150))
    (folder / "short.wav").write_bytes(gpt_sovits_tiny.recording(seconds=1))
    (folder / "secret.key").write_text("not a recording")
    return folder


@pytest.fixture(scope="session")
def gpt_sovits_hub(gpt_sovits_release, gpt_sovits_recordings):
    """A served hub whose one model is `tiny`."""
    options = {"threads": 1, "warm_up": False}
    model = ModelSettings(backend="gpt_sovits", path=str(gpt_sovits_release), device="cpu", options=options)
    compat = {"gpt_sovits": CompatSettings(options={"roots": [str(gpt_sovits_recordings)]})}
    settings = Settings(models={"tiny": model}, plugins=PluginSettings(disabled=OTHERS), compat=compat)
    with serve_hub(settings) as live:
        yield live
