"""GPT-SoVITS for tts-hub: v1, v2, v2Pro, v2ProPlus, v3 and v4. This module registers; it imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub import BackendSpec, Capabilities, hookimpl
from hub.contract import Checkpoint
from hub_gpt_sovits.options import GptSovitsOptions

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.settings import Settings

CAPABILITIES = Capabilities(
    sample_rate=32_000,
    languages=("zh", "en", "ja", "ko", "yue"),
    cloning=True,
    min_reference=3.0,
    max_reference=10.0,
    cross_lingual=True,
    streaming=True,
    speed=True,
    seed=True,
    sampling=True,
)
"""Of the family. A loaded model says its own rate (v3: 24 kHz, v4: 48 kHz), and v3 and v4 need transcripts."""

LICENCE = "MIT"

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
"""The official pronunciation tables, which only the repository of the code has."""


READINGS = Checkpoint(
    huggingface="XXXXRT/GPT-SoVITS-Pretrained",
    modelscope="XXXXRT/GPT-SoVITS-Pretrained",
    files=("G2PWModel.zip", "open_jtalk_dic_utf_8-1.11.tar.gz"),
    licence="Apache-2.0 (G2PW), BSD-3-Clause (Open JTalk)",
    unpack=True,
)
"""Readings of Chinese characters in their sentence, and of Japanese: from where the family's own installer has them."""


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
"""The releases, the recommended one first. All are folders of one repository, so several can be in one place."""


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The gpt_sovits backend. Its models need a `path`: the folder of a release."""
    return [
        BackendSpec(
            name="gpt_sovits",
            synthesizer="hub_gpt_sovits.synthesizer:GptSovits",
            contract=1,
            title="GPT-SoVITS",
            description="Clones a voice from 3 to 10 seconds of it. Loads v1 to v4, v2Pro, v2ProPlus and fine-tunes.",
            capabilities=CAPABILITIES,
            options=GptSovitsOptions,
            checkpoints=CHECKPOINTS,
            licence=LICENCE,
            homepage="https://github.com/RVC-Boss/GPT-SoVITS",
        )
    ]


@hookimpl
def register_routes(hub: Any) -> list[ControllerRouterHandler]:
    """The family's own HTTP API."""
    from hub_gpt_sovits.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """What `[compat.gpt_sovits.options]` may say."""
    from hub_gpt_sovits.settings import CompatOptions

    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub gpt-sovits`."""
    from hub_gpt_sovits.commands import gpt_sovits

    cli.add_command(gpt_sovits)


@hookimpl
def register_checks() -> list[Any]:
    """What `ttshub check` tells of the text front end."""
    from hub_gpt_sovits.checks import text_notes

    return [text_notes]
