"""The published checkpoints that `ttshub pull gpt_sovits` fetches."""

from __future__ import annotations

from hub.contract.backend import Checkpoint

LICENCE = "MIT"
"""The licence of the released weights."""

_COMMON = ("chinese-hubert-base/*", "chinese-roberta-wwm-ext-large/*", "fast_langdetect/*")
_S1_V3 = "s1v3.ckpt"

TABLES = Checkpoint(
    github="RVC-Boss/GPT-SoVITS",
    revision="48b1a0169a28582a8984402f82cf438d3bfa6aca",
    files=(
        "GPT_SoVITS/text/*.rep",
        "GPT_SoVITS/text/opencpop-strict.txt",
        "GPT_SoVITS/text/namedict_cache.pickle",
        "GPT_SoVITS/text/ja_userdic/userdict.csv",
    ),
    licence=LICENCE,
)
"""The official pronunciation tables, which only the code's repository has."""

READINGS = Checkpoint(
    huggingface="XXXXRT/GPT-SoVITS-Pretrained",
    modelscope="XXXXRT/GPT-SoVITS-Pretrained",
    files=("G2PWModel.zip", "open_jtalk_dic_utf_8-1.11.tar.gz"),
    licence="Apache-2.0 (G2PW), BSD-3-Clause (Open JTalk)",
    unpack=True,
)
"""G2PW, which reads Chinese characters in context, and Open JTalk's dictionary for Japanese. The family's own
installer fetches them from the same place."""


def _release(version: str, description: str, size: int, *files: str) -> Checkpoint:
    return Checkpoint(
        huggingface="lj1995/GPT-SoVITS",
        modelscope="AI-ModelScope/GPT-SoVITS",
        files=(*_COMMON, *files),
        size=size,
        licence=LICENCE,
        description=description,
        model={"options": {"version": version}},
        parts={"GPT-SoVITS": TABLES, "pretrained_models": READINGS},
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    "v2ProPlus": _release(
        "v2ProPlus",
        "the best voice likeness at the speed of v2",
        2_000_000_000,
        _S1_V3,
        "v2Pro/s2Gv2ProPlus.pth",
        "sv/*",
    ),
    "v2Pro": _release("v2Pro", "v2 with a speaker network", 2_000_000_000, _S1_V3, "v2Pro/s2Gv2Pro.pth", "sv/*"),
    "v2": _release(
        "v2",
        "5 languages, small and fast",
        1_800_000_000,
        "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
        "gsv-v2final-pretrained/s2G2333k.pth",
    ),
    "v4": _release("v4", "flow matching, 48 kHz", 2_500_000_000, _S1_V3, "gsv-v4-pretrained/*"),
    "v3": _release(
        "v3",
        "flow matching, 24 kHz",
        2_900_000_000,
        _S1_V3,
        "s2Gv3.pth",
        "models--nvidia--bigvgan_v2_24khz_100band_256x/*",
    ),
    "v1": _release(
        "v1",
        "the first release: Chinese, English, Japanese",
        1_750_000_000,
        "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt",
        "s2G488k.pth",
    ),
}
"""The releases, the recommended one first. All are folders of one repository, so one folder can hold several."""
