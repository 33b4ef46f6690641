"""JSON or msgpack, both ways: Content-Type says what comes in, Accept or `?format=` what goes out.

`HubRequest` and `HubResponse` are the app's request and response classes, so every handler, including a plugin's, takes
and returns plain Structs. A Struct body is decoded straight into its type, and strictly: "1.5" is not a number.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.serialization import default_serializer, encode_msgpack
from msgspec import Struct

from hub.api.http.problems import invalid_body
from hub.api.http.request_id import HEADER, request_id
from hub.contract.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType

JSON = "application/json"
MSGPACK = "application/msgpack"
MSGPACK_NAMES = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")

T = TypeVar("T")


@cache
def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def decode_body(body: bytes, content_type: str, kind: Any = Any) -> Any:
    """Decode `body` as a `kind`. Raises InvalidRequest, or UnsupportedMediaType if it is neither JSON nor msgpack."""
    if content_type in MSGPACK_NAMES:
        decoder: Any = _msgpack_decoder(kind)
    elif content_type in ("", JSON, "text/json") or content_type.endswith("+json"):
        decoder = _json_decoder(kind)
    else:
        raise UnsupportedMediaType(
            f"cannot read {content_type[:100]!r}: send Content-Type {JSON} or {MSGPACK}", allowed=[JSON, *MSGPACK_NAMES]
        )
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_body(error, kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = "msgpack" if content_type in MSGPACK_NAMES else "JSON"
        raise InvalidRequest(f"the body is not valid {name}: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error


class HubRequest(Request[Any, Any, Any]):
    """A request whose body is JSON or msgpack, by its Content-Type."""

    __slots__ = ()

    async def json(self) -> Any:
        """Return the decoded body, as the handler's `data` type if that is a Struct."""
        field = self.route_handler.parsed_fn_signature.parameters.get("data")
        kind = field.annotation if field is not None else Any
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            kind = Any
        return decode_body(await self.body(), self.content_type[0].lower(), kind)


class HubResponse(Response[T]):
    """A response as JSON or msgpack, as the caller asked; text and bytes are sent unchanged."""

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **arguments: Any) -> ASGIResponse:
        """Choose the representation, then build the response. Raises NotAcceptable for an unknown `?format=`."""
        if (self.media_type or arguments.get("media_type") or JSON) == JSON:
            self.media_type = representation(request, strict=(self.status_code or 200) < 400)
        self.headers.setdefault(HEADER, request_id(request.scope))
        return super().to_asgi_response(app, request, **arguments)

    def render(self, content: Any, media_type: str, enc_hook: Any = default_serializer) -> bytes:
        """Encode `content` in `media_type`."""
        if media_type in MSGPACK_NAMES and not isinstance(content, bytes):
            return encode_msgpack(content, enc_hook)
        return super().render(content, media_type, enc_hook)


def representation(request: Request[Any, Any, Any], *, strict: bool = True) -> str:
    """Return the media type of a structured response: by `?format=json|msgpack`, else by Accept, else JSON.

    An Accept header that names neither gets JSON. If `strict`, another `?format=` raises NotAcceptable.
    """
    if b"format=" in request.scope["query_string"]:
        wanted = request.query_params.get("format")
        if wanted == "msgpack":
            return MSGPACK
        if wanted not in (None, "json") and strict:
            raise NotAcceptable(
                f"?format= must be json or msgpack, not {str(wanted)[:100]!r}", allowed=["json", "msgpack"]
            )
        if wanted is not None:
            return JSON
    if "msgpack" not in request.headers.get("accept", ""):
        return JSON
    return request.accept.best_match([JSON, *MSGPACK_NAMES], JSON)
