"""`/v1/vqgan/encode` and `/v1/vqgan/decode`: the model's codec."""

from __future__ import annotations

import numpy as np
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from hub.api.family import model_of
from hub.api.http.departure import until_departure
from hub.api.http.request_id import request_id
from hub.contract.errors import HubError, InvalidRequest
from hub.contract.event import AudioChunk
from hub.contract.tokens import Tokens
from hub.plugin.host import Host
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.answers import answer
from hub_fish_speech.routes.shapes import Audios, DecodeBody, EncodeBody, TokenLists, read_body


def routes(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The handlers."""

    @post("/v1/vqgan/encode", status_code=200, summary="Encode audio files as tokens")
    async def encode(request: Request) -> Response:
        """Tokens by file, codebook and frame."""
        body = await read_body(request, EncodeBody)
        model, name = model_of(hub, options.backend).name, request_id(request.scope)
        found = []
        async with until_departure(request.receive):
            for number, audio in enumerate(body.audios, 1):
                try:
                    found.append((await hub.encode(audio, model=model, request_id=name)).tokens.rows)
                except HubError as error:
                    error.message = f"audio {number}: {error.message}" if len(body.audios) > 1 else error.message
                    raise
        return answer(request, TokenLists(tokens=found))

    @post("/v1/vqgan/decode", status_code=200, summary="Decode tokens to audio")
    async def decode(request: Request) -> Response:
        """Samples as little-endian float16, mono, at the model's rate; in JSON they are base64."""
        body = await read_body(request, DecodeBody)
        model, name = model_of(hub, options.backend).name, request_id(request.scope)
        wanted = [_tokens(rows) for rows in body.tokens]
        async with until_departure(request.receive):
            audios = [await _samples(hub, tokens, model, name) for tokens in wanted]
        return answer(request, Audios(audios=audios))

    return [encode, decode]


def _tokens(rows: list[list[int]]) -> Tokens:
    try:
        return Tokens.from_rows(rows)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"tokens: {error}", field="tokens") from error


async def _samples(hub: Host, tokens: Tokens, model: str, name: str) -> bytes:
    decoded = await hub.decode(tokens, model=model, request_id=name)
    try:
        parts = [np.frombuffer(event.pcm, "<f4") async for event in decoded if isinstance(event, AudioChunk)]
    finally:
        await decoded.aclose()
    return np.concatenate(parts).astype("<f2").tobytes()
