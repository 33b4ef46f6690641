"""CosyVoice for tts-hub: 300M, 2 and 3. This module registers; it imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import BackendSpec, Capabilities, hookimpl
from hub_cosyvoice.checkpoints import CHECKPOINTS, LICENCE
from hub_cosyvoice.options import CompatOptions, CosyVoiceOptions

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.service.hub import Hub
    from hub.settings import Settings

LANGUAGES: dict[int, tuple[str, ...]] = {
    1: ("zh", "en", "ja", "yue", "ko"),
    2: ("zh", "en", "ja", "ko"),
    3: ("zh", "en", "ja", "ko", "de", "es", "fr", "it", "ru"),
}
"""What each generation speaks; dialects of Chinese are asked for with `instruct`."""

CAPABILITIES = Capabilities(
    sample_rate=24_000,
    languages=tuple(dict.fromkeys(language for spoken in LANGUAGES.values() for language in spoken)),
    preset_voices=True,
    cloning=True,
    cross_lingual=True,
    max_reference=30.0,
    instruct=True,
    streaming=True,
    live_text=True,
    speed=True,
    seed=True,
    sampling=True,
    conversion=True,
)
"""Of the family. A loaded model says its own rate, languages, voices, and whether it takes instructions."""


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The cosyvoice backend. Its models need a `path`: the folder of a checkpoint."""
    return [
        BackendSpec(
            name="cosyvoice",
            synthesizer="hub_cosyvoice.synthesizer:CosyVoice",
            contract=1,
            title="CosyVoice",
            description="Clones a voice from seconds of it, follows instructions, speaks while its text arrives.",
            capabilities=CAPABILITIES,
            options=CosyVoiceOptions,
            checkpoints=CHECKPOINTS,
            licence=f"weights: {LICENCE}",
            homepage="https://github.com/FunAudioLLM/CosyVoice",
        )
    ]


@hookimpl
def register_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """CosyVoice's own HTTP API."""
    from hub_cosyvoice.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """What `[compat.cosyvoice.options]` may say."""
    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub cosyvoice serve` and `client`."""
    from hub_cosyvoice.commands import add_commands

    add_commands(cli)
