"""`ttshub wyoming`: serves the voices over Wyoming, for Home Assistant."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from hub.cli.failure import Failed
from hub.cli.session import Session, session_options, url_options
from hub.version import __version__

if TYPE_CHECKING:
    import socket

    from hub.cli.local import LocalHub
    from hub.cli.remote import RemoteHub
    from hub.contract.speech import SpeechRequest
    from hub.service.library.catalog import Catalog
    from hub.wyoming.speaker import Pcm, SpeakerVoice

log = logging.getLogger("hub.wyoming")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=10200,
    show_default=True,
    help="Port to listen on; 0: any free port",
)
@click.option("--allow-public", is_flag=True, help="Listen on a public address, although Wyoming has no API keys")
@url_options
@session_options
@click.pass_obj
def wyoming(session: Session, host: str, port: int, allow_public: bool, url: str | None, api_key: str | None) -> None:
    """Serve the voices over Wyoming, for Home Assistant.

    Starts a hub of its own, or serves the voices of a running one with --url.
    Needs the extra tts-hub[wyoming].
    """
    try:
        import wyoming as _  # noqa: F401 - is it installed?
    except ImportError:
        raise Failed(
            "missing_package", "this command needs the package wyoming", "pip install 'tts-hub[wyoming]'"
        ) from None
    from hub.api.http.auth import is_loopback
    from hub.cli.serve import bind
    from hub.settings import ServerSettings

    if not (allow_public or is_loopback(host)):
        raise Failed(
            "public_address", f"{host!r} can be reached from outside", "add --allow-public if anyone may use it"
        )
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    sockets = bind(ServerSettings(host=host, port=port))
    session.run(_serve(session, sockets, host, url, api_key))


async def _serve(
    session: Session, sockets: list[socket.socket], host: str, url: str | None, api_key: str | None
) -> None:
    from hub.cli.say import open_source
    from hub.wyoming.server import serve

    async with open_source(session, url, api_key) as source:
        speaker = RemoteSpeaker(source) if url else LocalSpeaker(source)
        await speaker.begin()
        address = f"[{host}]" if ":" in host else host
        click.echo(f"tts-hub {__version__} speaks Wyoming at tcp://{address}:{sockets[0].getsockname()[1]}")
        await serve(speaker, sockets)


class LocalSpeaker:
    """A `Speaker` that uses the hub of this process."""

    def __init__(self, source: LocalHub) -> None:
        self._source = source

    async def begin(self) -> None:
        """Load the models marked `preload`: the voices of a model are known only after it has been loaded."""
        models = [model for model in self._source.hub.models if model.settings.preload]
        for model, outcome in zip(
            models, await asyncio.gather(*(model.start() for model in models), return_exceptions=True), strict=True
        ):
            if isinstance(outcome, BaseException):
                log.error("model %s did not load: %s", model.name, outcome)

    async def voices(self) -> Sequence[SpeakerVoice]:
        """Implement `Speaker.voices`."""
        from hub.service.library.catalog import catalog

        models = self._source.hub.models
        names = [model.name for model in sorted(models, key=lambda model: model is not models.default)]
        return speaker_voices(names, await asyncio.to_thread(catalog, self._source.hub.models, self._source.hub.voices))

    @asynccontextmanager
    async def speak(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        """Implement `Speaker.speak`."""
        async with self._source.speak(request, whole=False) as answer:
            yield answer


class RemoteSpeaker:
    """A `Speaker` that uses the hub at a URL. Clients get `backend_unavailable` if it cannot be reached."""

    def __init__(self, source: RemoteHub) -> None:
        self._source = source

    async def begin(self) -> None:
        """Check that the hub answers. Raises Unreachable."""
        await self._source.get("/v1/health")

    async def voices(self) -> Sequence[SpeakerVoice]:
        """Implement `Speaker.voices`."""
        import msgspec

        from hub.service.library.catalog import Catalog

        models = (await self._get("/v1/health"))["models"]
        names = [model["name"] for model in sorted(models, key=lambda model: not model["default"])]
        return speaker_voices(names, msgspec.convert(await self._get("/v1/voices"), Catalog))

    async def _get(self, path: str) -> Any:
        with unavailable():
            return await self._source.get(path)

    @asynccontextmanager
    async def speak(self, request: SpeechRequest) -> AsyncIterator[Pcm]:
        """Implement `Speaker.speak`."""
        with unavailable():
            async with self._source.speak(request, whole=False) as answer:
                yield answer


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn the failure of a remote hub into an error for the client. Raises BackendUnavailable."""
    from hub.contract.errors import BackendUnavailable

    try:
        yield
    except Failed as failed:
        log.error("%s", failed.message)
        raise BackendUnavailable("the hub behind this service cannot be reached; try again later") from failed


def speaker_voices(models: Sequence[str], known: Catalog) -> list[SpeakerVoice]:
    """Return the voices in `known` of each of `models`, in their order. A model without voices counts as one voice."""
    from hub.wyoming.speaker import SpeakerVoice

    found: list[SpeakerVoice] = []
    for name in models:
        usable = [view for view in known.voices if name in view.models and view.models[name].usable]
        for view in usable:
            found.append(
                SpeakerVoice(
                    model=name,
                    voice=view.id,
                    title=view.name,
                    languages=view.languages,
                    default=name == models[0] and name in view.default_of,
                )
            )
        if not usable and name not in known.not_loaded:
            found.append(SpeakerVoice(model=name, voice="", default=name == models[0]))
    return found
