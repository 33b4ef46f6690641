"""The lists of voices and models, as in ElevenLabs' API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from hub.builtin.elevenlabs.shapes import ListedModel, ListedVoice, ModelLanguage, VoiceList, VoiceModel
from hub.contract.errors import UnknownVoice
from hub.contract.voice import VoiceView

if TYPE_CHECKING:
    from hub.plugin.host import Host, HostModel


def list_routes(hub: Host) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    return [*_voice_routes(hub), _model_route(hub)]


def _voice_routes(hub: Host) -> list[HTTPRouteHandler]:
    @get("/v1/voices")
    async def list_voices() -> VoiceList:
        """Returns all voices that a model can use."""
        voices = await find_voices(hub)
        return VoiceList(voices=voices, total_count=len(voices))

    @get("/v2/voices")
    async def search_voices(
        search: FromQuery[str] = "",
        page_size: Annotated[int, QueryParameter(ge=1, le=100)] = 10,
        next_page_token: FromQuery[str] = "",
    ) -> VoiceList:
        """Returns a page of the voices with `search` in their id, name or description."""
        found = [
            voice
            for voice in await find_voices(hub)
            if search.lower() in f"{voice.voice_id} {voice.name} {voice.description}".lower()
        ]
        begin = next((at for at, voice in enumerate(found) if voice.voice_id == next_page_token), 0)
        page, rest = found[begin : begin + page_size], found[begin + page_size :]
        token = rest[0].voice_id if rest else None
        return VoiceList(voices=page, has_more=bool(rest), total_count=len(found), next_page_token=token)

    @get("/v1/voices/{voice_id:str}")
    async def get_voice(voice_id: FromPath[str]) -> ListedVoice:
        """Returns the voice of this id."""
        voices = await find_voices(hub)
        for voice in voices:
            if voice.voice_id == voice_id:
                return voice
        known = ", ".join(voice.voice_id for voice in voices)
        raise UnknownVoice(f"there is no voice {voice_id[:100]!r}; there are: {known or 'none'}")

    return [list_voices, search_voices, get_voice]


def _model_route(hub: Host) -> HTTPRouteHandler:
    @get("/v1/models", sync_to_thread=False)
    def list_models() -> list[ListedModel]:
        """Returns the configured models."""
        return [_listed_model(model, hub.settings.limits.text_chars) for model in hub.models]

    return list_models


async def find_voices(hub: Host) -> list[ListedVoice]:
    """Return the voices that a model can use: presets of models that have been loaded, and stored voices (`cloned`)."""
    views = await hub.all_voices()
    return [_listed_voice(view) for view in views if any(fit.usable for fit in view.models.values())]


def _listed_voice(view: VoiceView) -> ListedVoice:
    models = [name for name, fit in view.models.items() if fit.usable]
    labels = {"language": view.languages[0]} if view.languages else {}
    return ListedVoice(
        voice_id=view.id,
        name=view.name or view.id,
        category="premade" if view.kind == "preset" else "cloned",
        description=view.description,
        labels={**labels, **dict.fromkeys(view.tags, "yes")},
        high_quality_base_model_ids=models,
        verified_languages=[
            VoiceModel(language=language, model_id=model) for model in models for language in view.languages
        ],
    )


def _listed_model(model: HostModel, longest: int) -> ListedModel:
    return ListedModel(
        model_id=model.name,
        name=model.spec.title or model.name,
        description=model.spec.description,
        maximum_text_length_per_request=longest,
        languages=[ModelLanguage(language_id=tag, name=tag) for tag in model.capabilities.languages],
    )
