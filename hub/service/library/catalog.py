"""The one list of all voices: presets of the models and stored voices, and which models can use each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from hub.contract.errors import Conflict, UnknownVoice
from hub.contract.voice import StoredVoice, Voice, VoiceFit, VoiceView
from hub.service.library.voices import VoiceLibrary, VoiceProblem
from hub.service.models.model import Model
from hub.service.models.models import Models


class Catalog(Struct, kw_only=True, frozen=True):
    """Presets and stored voices in one list."""

    voices: Sequence[VoiceView]
    problems: Annotated[Sequence[VoiceProblem], Meta(description="voice folders that cannot be used")] = ()
    not_loaded: Annotated[
        Sequence[str], Meta(description="models that have never been loaded, so their presets are not known yet")
    ] = ()


def catalog(all_models: Models, library: VoiceLibrary, model: Model | None = None) -> Catalog:
    """All voices, presets first; with a `model`, only those that it can use. Reads files: call it in a thread."""
    models = [model] if model is not None else list(all_models)
    views = [*_presets(models), *(stored_view(all_models, library, voice) for voice in library.list())]
    if model is not None:
        views = [view for view in views if view.models[model.name].usable]
    return Catalog(
        voices=views,
        problems=library.problems(),
        not_loaded=[one.name for one in models if one.loaded is None],
    )


def view_of(models: Models, library: VoiceLibrary, id: str) -> VoiceView:
    """The voice of this id: a preset, else a stored voice, as a request finds it. Raises UnknownVoice."""
    for view in _presets(list(models)):
        if view.id == id:
            return view
    return stored_view(models, library, library.get(id))


def stored_view(models: Models, library: VoiceLibrary, voice: StoredVoice) -> VoiceView:
    """A stored voice, with its fit for each model. A model that has a preset of the same id cannot use it."""
    fits = {}
    for model in models:
        if voice.id in _presets_of(model):
            fits[model.name] = VoiceFit(usable=False, reason=f"model {model.name!r} has a preset of this id")
        else:
            fits[model.name] = library.fit(voice, model.name, model.capabilities)
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


def check_no_preset(models: Models, id: str) -> None:
    """Raise Conflict if a model has a preset of this id, which would make the id ambiguous."""
    for model in models:
        if id.casefold() in {preset.casefold() for preset in _presets_of(model)}:
            raise Conflict(
                f"model {model.name!r} has a preset voice {id[:100]!r}; choose another id", voice=id, model=model.name
            )


def model_for(models: Models, library: VoiceLibrary, id: str, name: str | None) -> Model:
    """The model to preview a voice with: the one named, else the default model if it can, else the first that can.

    If none can, it is the default model, whose refusal says why. Raises UnknownVoice, UnknownModel.
    """
    if name or "+" in id:  # a mixture is in no list
        return models.get(name)
    default = models.get(None)
    try:
        fits = view_of(models, library, id).models
    except UnknownVoice:
        if all(model.loaded is not None for model in models):
            raise
        return default  # perhaps a preset of a model that has never been loaded
    usable = [model for model in models if model.name in fits and fits[model.name].usable]
    return default if default in usable or not usable else usable[0]


def _presets_of(model: Model) -> dict[str, Voice]:
    return {voice.id: voice for voice in model.loaded.voices} if model.loaded else {}


def _presets(models: Sequence[Model]) -> list[VoiceView]:
    """The presets of the models. A preset that several models of one backend have is listed once."""
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
