"""`/info`, `/voices` and `/scenes`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from hub.api.family import model_of
from hub_higgs_audio.capabilities import BACKEND
from hub_higgs_audio.options import CompatOptions
from hub_higgs_audio.routes.answers import answer

if TYPE_CHECKING:
    from hub.plugin.host import Host
    from hub_higgs_audio.routes.voices import NamedVoices

FEATURES = ["单说话人音频生成", "多说话人音频生成", "语音克隆", "智能语音", "场景描述", "流式生成"]
"""The features in `/info`, as the original server names them."""

MOST_TOKENS = 2048


def routes(hub: Host, options: CompatOptions, voices: NamedVoices) -> list[HTTPRouteHandler]:
    """The handlers."""

    @get("/info", status_code=200, summary="Get the model that answers")
    async def info(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`is_loaded` is false while a request would have to wait for the model."""
        model = model_of(hub, BACKEND, options.model)
        status = model.status()
        body = {
            "model_name": Path(model.settings.path).name or model.name,
            "device": status.device or model.settings.device,
            "is_loaded": status.state == "ready",
            "max_new_tokens": model.settings.options.get("max_new_tokens", MOST_TOKENS),
            "supported_features": FEATURES,
        }
        return answer(request, body)

    @get("/voices", status_code=200, summary="List the voices that ref_audio may name")
    async def list_voices(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Returns the recordings of the voice folder, and the hub's stored voices."""
        found = await asyncio.to_thread(voices.entries)
        return answer(request, {"voices": found, "count": len(found)})

    @get("/scenes", status_code=200, summary="List the scenes that scene_prompt may name")
    async def list_scenes(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Returns the hub's scenes, with the `NAME.txt` files in the folders that `scene_folders` names."""
        found = await asyncio.to_thread(hub.scenes.list)
        scenes = [{"name": scene.id, "content": scene.text, "file": f"{scene.id}.txt"} for scene in found]
        return answer(request, {"scenes": scenes, "count": len(scenes)})

    return [info, list_voices, list_scenes]
