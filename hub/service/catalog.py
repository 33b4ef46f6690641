"""The one list of all voices: presets of the models and stored voices, and which models can use each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from hub.contract.errors import Conflict, UnknownVoice
from hub.contract.voice import Recording, StoredVoice, Voice
from hub.service.models import Model
from hub.service.voice_fit import VoiceFit
from hub.service.voices import VoiceProblem

if TYPE_CHECKING:
    from hub.service.hub import Hub


class VoiceView(Struct, kw_only=True, frozen=True):
    """A voice. Times are seconds since the epoch; presets have neither times nor recordings."""

    id: str
    kind: Literal["preset", "stored"]
    name: str
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    consent: Annotated[str, Meta(description="who allowed the use of a stored voice")] = ""
    recordings: tuple[Recording, ...] = ()
    digest: Annotated[str, Meta(description="changes with the recordings and transcripts")] = ""
    created: float | None = None
    updated: float | None = None
    default_of: Annotated[tuple[str, ...], Meta(description="models whose default this preset is")] = ()
    models: Annotated[dict[str, VoiceFit], Meta(description="model -> whether it can use the voice, and why not")] = {}


class Catalog(Struct, kw_only=True, frozen=True):
    """All voices."""

    voices: Sequence[VoiceView]
    problems: Annotated[Sequence[VoiceProblem], Meta(description="folders that hold no voice that can be used")] = ()
    not_loaded: Annotated[
        Sequence[str], Meta(description="models that were never up, so that their presets are not known yet")
    ] = ()


def catalog(hub: Hub, model: Model | None = None) -> Catalog:
    """All voices, presets first; of one `model`, only those that it can use. Reads files: call it in a thread."""
    models = [model] if model is not None else list(hub.models)
    views = [*_presets(models), *(stored_view(hub, voice) for voice in hub.voices.list())]
    if model is not None:
        views = [view for view in views if view.models[model.name].usable]
    return Catalog(
        voices=views,
        problems=hub.voices.problems(),
        not_loaded=[one.name for one in models if one.engine.loaded is None],
    )


def view_of(hub: Hub, id: str) -> VoiceView:
    """One voice, a preset before a stored one, as when it is spoken with. Raises UnknownVoice."""
    for view in _presets(list(hub.models)):
        if view.id == id:
            return view
    return stored_view(hub, hub.voices.get(id))


def stored_view(hub: Hub, voice: StoredVoice) -> VoiceView:
    """A stored voice with its fits; one that a preset of the same id hides says so."""
    fits = {}
    for model in hub.models:
        if voice.id in _presets_of(model):
            fits[model.name] = VoiceFit(usable=False, reason=f"model {model.name!r} has a preset of this id")
        else:
            fits[model.name] = hub.voices.fit(voice, model.name, model.capabilities)
    return VoiceView(
        id=voice.id,
        kind="stored",
        name=voice.name,
        languages=(voice.language,) if voice.language else (),
        tags=voice.tags,
        description=voice.description,
        consent=voice.consent,
        recordings=voice.recordings,
        digest=voice.digest,
        created=voice.created,
        updated=voice.updated,
        models=fits,
    )


def check_no_preset(hub: Hub, id: str) -> None:
    """Raises Conflict if a model has a preset of this id: whoever asks for it could mean either."""
    for model in hub.models:
        if id.casefold() in {preset.casefold() for preset in _presets_of(model)}:
            raise Conflict(
                f"model {model.name!r} has a preset voice {id[:100]!r}; choose another id", voice=id, model=model.name
            )


def model_for(hub: Hub, id: str, name: str | None) -> Model:
    """The model to preview a voice with: the one asked for, else the default model if it can, else the first that can.

    Raises UnknownVoice, UnknownModel. If none can, it is the default model, whose refusal says why.
    """
    if name or "+" in id:  # a mixture is in no list
        return hub.models.get(name)
    default = hub.models.get(None)
    try:
        fits = view_of(hub, id).models
    except UnknownVoice:
        if all(model.engine.loaded is not None for model in hub.models):
            raise
        return default  # perhaps a preset of a model that was never up
    usable = [model for model in hub.models if model.name in fits and fits[model.name].usable]
    return default if default in usable or not usable else usable[0]


def _presets_of(model: Model) -> dict[str, Voice]:
    return {voice.id: voice for voice in model.engine.loaded.voices} if model.engine.loaded else {}


def _presets(models: Sequence[Model]) -> list[VoiceView]:
    """A preset that several models of one backend have is one voice."""
    found: dict[tuple[str, str], Voice] = {}
    for model in models:
        for id, voice in _presets_of(model).items():
            found.setdefault((model.spec.name, id), voice)
    return [_preset_view(backend, voice, models) for (backend, _), voice in found.items()]


def _preset_view(backend: str, voice: Voice, models: Sequence[Model]) -> VoiceView:
    fits, default_of = {}, []
    for model in models:
        presets = _presets_of(model)
        if model.spec.name == backend and voice.id in presets:
            fits[model.name] = VoiceFit(usable=True)
            if model.default_voice == voice.id:
                default_of.append(model.name)
        else:
            reason = f"it is a preset of {backend}, which model {model.name!r} does not have"
            fits[model.name] = VoiceFit(usable=False, reason=reason)
    return VoiceView(
        id=voice.id,
        kind="preset",
        name=voice.name or voice.id,
        languages=voice.languages,
        tags=voice.tags,
        description=voice.description,
        default_of=tuple(default_of),
        models=fits,
    )
