"""Fish Speech for tts-hub: 1.4, 1.5, OpenAudio S1 mini and S2 Pro. This module registers; it imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub import BackendSpec, Capabilities, hookimpl
from hub.contract import Checkpoint
from hub_fish_speech.options import FishOptions

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.plugin.tasks import TaskKind
    from hub.settings import Settings

CAPABILITIES = Capabilities(
    sample_rate=44_100,
    cloning=True,
    cross_lingual=True,
    dialogue=True,
    streaming=True,
    live_text=True,
    seed=True,
    sampling=True,
    codec=True,
)
"""Of the family. A loaded model says its own rate, and only S2 speaks dialogues."""

_NON_COMMERCIAL = "CC-BY-NC-SA-4.0 (no commercial use)"
_RESEARCH = "Fish Audio Research License (no commercial use without a licence of Fish Audio)"

CHECKPOINTS = {
    "s1-mini": Checkpoint(
        huggingface="fishaudio/openaudio-s1-mini",
        files=("config.json", "model.pth", "codec.pth", "tokenizer.tiktoken", "special_tokens.json"),
        size=3_600_000_000,
        licence=_NON_COMMERCIAL,
        description="OpenAudio S1 mini, 0.5B: 13 languages, emotions in parentheses",
    ),
    "s2-pro": Checkpoint(
        huggingface="fishaudio/s2-pro",
        files=("*.json", "*.safetensors", "codec.pth"),
        size=11_000_000_000,
        licence=_RESEARCH,
        description="S2 Pro, 4B: 80 languages, [tags] anywhere, dialogues of several speakers",
    ),
    "1.5": Checkpoint(
        huggingface="fishaudio/fish-speech-1.5",
        files=("config.json", "model.pth", "firefly-gan-*.pth", "tokenizer.tiktoken", "special_tokens.json"),
        size=1_500_000_000,
        licence=_NON_COMMERCIAL,
        description="Fish Speech 1.5, 0.5B: 13 languages",
    ),
    "1.4": Checkpoint(
        huggingface="fishaudio/fish-speech-1.4",
        files=("config.json", "model.pth", "firefly-gan-*.pth", "tokenizer*.json", "special_tokens_map.json"),
        size=1_200_000_000,
        licence=_NON_COMMERCIAL,
        description="Fish Speech 1.4, 0.5B: 8 languages",
    ),
}
"""The releases, the recommended one first."""


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The fish_speech backend. Its models need a `path`: the folder of a checkpoint."""
    return [
        BackendSpec(
            name="fish_speech",
            synthesizer="hub_fish_speech.synthesizer:FishSpeech",
            contract=1,
            title="Fish Speech",
            description="Clones a voice from seconds of it. Fish Speech 1.4 and 1.5, OpenAudio S1 mini, S2 Pro.",
            capabilities=CAPABILITIES,
            options=FishOptions,
            checkpoints=CHECKPOINTS,
            licence="weights: CC-BY-NC-SA-4.0 (1.4, 1.5, S1 mini); Fish Audio Research License (S2 Pro)",
            homepage="https://github.com/fishaudio/fish-speech",
        )
    ]


@hookimpl
def register_routes(hub: Any) -> list[ControllerRouterHandler]:
    """The HTTP API of the family's own server."""
    from hub_fish_speech.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """`[compat.fish_speech.options]`."""
    from hub_fish_speech.settings import CompatOptions

    return CompatOptions


@hookimpl
def register_task_kinds(settings: Settings) -> list[TaskKind]:
    """The asynchronous tasks of that API."""
    from hub_fish_speech.tasks import GenerateTasks

    return [GenerateTasks()]


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub fish`."""
    from hub_fish_speech.commands import fish

    cli.add_command(fish)
