"""`POST /v1/tts`, and the mapping of its fields to a SpeechRequest."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from hub.api.family import model_of
from hub.api.http.fields import FALSE, TRUE
from hub.api.respond import audio_response, open_speech
from hub.contract.errors import InvalidRequest, UnsupportedCapability
from hub.contract.speech import AudioFormat, Reference, Sampling, SpeechRequest
from hub.plugin.host import Host, HostModel
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.shapes import Generate, TTSBody, read_body

MEDIA_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac"}
"""The media types of this API; any other container is application/octet-stream."""

LONGEST_CHUNK = 300
"""The greatest `chunk_length` of the generations before S2; S2 takes up to 1000."""


def routes(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The handlers."""

    @post("/v1/tts", status_code=200, summary="Speak a text, as in Fish Speech's server")
    async def tts(request: Request) -> Response:
        """Returns the complete audio, or with `streaming` sends it while it is generated."""
        body = await read_body(request, TTSBody)
        wanted = tts_request(hub, options, body, request.headers.get("model"))
        raw = _flag(request, "raw")
        if raw:  # bare samples, as the vendor's server streams them under the name of WAV
            wanted.format = AudioFormat(container="pcm", sample_rate=wanted.format.sample_rate)
        stream = body.streaming
        if stream is None:  # the vendor's SDK never sets it: it sends `model:` to a service that always streams
            stream = "model" in request.headers
        speech = await open_speech(hub, request, wanted)
        response = await audio_response(hub, request, speech, wanted.format, stream=stream)
        response.media_type = media_type(body.format)
        response.headers["Content-Disposition"] = f"attachment; filename=audio.{body.format}"
        return response

    return [tts]


def media_type(container: str) -> str:
    """The media type, as the vendor's server names it."""
    return MEDIA_TYPES.get(container, "application/octet-stream")


def tts_request(hub: Host, options: RouteOptions, body: TTSBody, model: str | None) -> SpeechRequest:
    """`body` as a request to the hub; `model` is the header of the vendor's SDK. Raises HubError."""
    if body.prosody.volume:
        raise UnsupportedCapability(
            "prosody.volume: the volume cannot be changed here; leave it out", capability="volume"
        )
    wanted = generate_request(hub, options, body, model)
    wanted.format = audio_format(body)
    wanted.speed = body.prosody.speed
    return wanted


def generate_request(hub: Host, options: RouteOptions, body: Generate, model: str | None = None) -> SpeechRequest:
    """The fields of both ways to generate, as a request. Raises InvalidRequest, BackendUnavailable."""
    longest = options.max_text_length
    if longest and len(body.text) > longest:
        raise InvalidRequest(f"Text is too long, max length is {longest}", chars=len(body.text), limit=longest)
    family = find_model(hub, options.backend, model)
    chunk = body.chunk_length
    if chunk is not None and chunk > LONGEST_CHUNK and not family.capabilities.dialogue:  # before S2
        raise InvalidRequest(f"chunk_length: expected int <= {LONGEST_CHUNK}", field="chunk_length")
    own_options = {"chunk_length": chunk} if chunk is not None and options.is_own_backend else {}
    references = () if body.reference_id else tuple(body.references)
    return SpeechRequest(
        text=body.text,
        model=family.name,
        voice=body.reference_id or None,
        references=tuple(Reference(audio=one.audio, text=one.text or None) for one in references),
        seed=None if body.seed is None else body.seed % 2**63,
        sampling=Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            repetition_penalty=body.repetition_penalty,
            max_new_tokens=body.max_new_tokens,
        ),
        options=own_options,
    )


def find_model(hub: Host, backend: str, name: str | None) -> HostModel:
    """The model of this name; for other names, such as the vendor's cloud has (`s1`, `s2-pro`), the family's first."""
    own = {model.name for model in hub.models if model.spec.name == backend}
    return model_of(hub, backend, name if name in own and name else "")


def audio_format(body: TTSBody) -> AudioFormat:
    """The container with the SDK's options. Opus bitrates come in kbit/s or bit/s; one below 0 leaves the choice."""
    bitrate = None
    if body.format == "mp3":
        bitrate = body.mp3_bitrate
    elif body.format == "opus" and (wanted := body.opus_bitrate) is not None and wanted > 0:
        bitrate = wanted // 1000 if wanted >= 1000 else wanted
        if not 8 <= bitrate <= 512:
            raise InvalidRequest("opus_bitrate: expected 8 to 512 kbit/s", field="opus_bitrate")
    return AudioFormat(container=body.format, sample_rate=body.sample_rate, bitrate=bitrate)


def _flag(request: Request[Any, Any, Any], name: str) -> bool:
    """A yes or no in the query. Raises InvalidRequest for anything else."""
    word = (request.query_params.get(name) or "no").lower()
    if word not in TRUE | FALSE:
        raise InvalidRequest(f"?{name}= must be true or false, not {word[:40]!r}", field=name)
    return word in TRUE
