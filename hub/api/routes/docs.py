"""/docs and /openapi.json. The page loads everything from the hub itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    SecurityScheme,
    Tag,
)
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from hub.api.http.auth import OPEN
from hub.api.http.errors import ErrorBody
from hub.api.http.negotiate import JSON, MSGPACK
from hub.api.mount import Shapes
from hub.version import __version__

STATIC = Path(__file__).parent / "static"
COMPONENTS = "#/components/schemas/"
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


class DocsPage(OpenAPIRenderPlugin):
    """Swagger UI, at /docs."""

    def __init__(self) -> None:
        super().__init__(path="/", favicon="")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page. It names only the hub's own paths, below a proxy's prefix if there is one."""
        root = request.scope.get("root_path", "").rstrip("/")
        return PAGE.replace("{root}", escape(root)).encode()


class CompleteSchema(JsonRenderPlugin):
    """openapi.json, with two things that Litestar does not know: msgpack, and the errors of every operation."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(path="/openapi.json", media_type=MediaType.JSON)
        self._shapes = shapes
        self._rendered = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document; it is built once, because routes do not change while the hub runs."""
        if not self._rendered:
            self._rendered = self.render_json(request, complete(openapi_schema, structs(request.app), self._shapes))
        return self._rendered


def structs(app: Litestar) -> Iterator[type[Struct]]:
    """Yield the Structs that the documented routes take and return."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if not handler.resolve_include_in_schema():
                continue
            signature = handler.parsed_fn_signature
            fields = [signature.return_type, *signature.return_type.inner_types]
            if (body := signature.parameters.get("data")) is not None:
                fields.append(body)
            kinds = [field.annotation for field in fields]
            kinds += [response.data_container for response in (handler.responses or {}).values()]
            yield from (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct))


def complete(schema: dict[str, Any], kinds: Iterator[type[Struct]], shapes: Shapes) -> dict[str, Any]:
    """Return `schema` with msgpack beside each JSON body, and with errors in the shape of their path.

    msgspec describes the Struct `kinds`, because it knows exactly what it accepts: Litestar omits limits of 0, and that
    unknown fields are refused.
    """
    bodies = {path: (shape and shape.body) or ErrorBody for path in schema["paths"] for shape in [shapes.at(path)]}
    _, exact = msgspec.json.schema_components({*kinds, *bodies.values()}, ref_template=f"{COMPONENTS}{{name}}")
    schema["components"]["schemas"].update(exact)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _in_shape(operation["responses"], f"{COMPONENTS}{bodies[path].__name__}")
            contents = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (body.get("content", {}) for body in contents):
                if JSON in content:
                    content[MSGPACK] = content[JSON]
    return schema


def _in_shape(responses: dict[str, Any], body: str) -> None:
    """Give the documented errors of an operation this `body`, and make an error the default response."""
    error = {"description": "An error; docs/errors.md lists the codes", "content": {JSON: {"schema": {"$ref": body}}}}
    responses.setdefault("default", error)
    for response in responses.values():
        schema = response.get("content", {}).get(JSON, {}).get("schema", {})
        if schema.get("$ref") == f"{COMPONENTS}{ErrorBody.__name__}":
            schema["$ref"] = body


def openapi_config(json: CompleteSchema, *, keys: bool) -> OpenAPIConfig:
    """Return Litestar's part of the documentation. `keys`: the hub requires API keys."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="an API key of this hub")
    header = SecurityScheme(type="apiKey", name="x-api-key", security_scheme_in="header")
    return OpenAPIConfig(
        title="tts-hub",
        version=__version__,
        description="Many text-to-speech model families behind one contract. Bodies and structured responses are JSON "
        "or msgpack: Content-Type chooses for requests, Accept or `?format=` for responses.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, opt=OPEN),
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": bearer, "apiKey": header} if keys else None),
        security=[{"bearer": []}, {"apiKey": []}] if keys else None,
        tags=[
            Tag(name="speech", description="Speaking"),
            Tag(name="conversion", description="Saying a recording again in another voice"),
            Tag(name="codec", description="Audio to tokens and back"),
            Tag(name="voices", description="Presets of the models, and stored voices"),
            Tag(name="scenes", description="Descriptions and casts that requests can name"),
            Tag(name="dictionaries", description="Pronunciations that requests can name"),
            Tag(name="openai", description="OpenAI's API, for its clients"),
            Tag(name="elevenlabs", description="ElevenLabs' API, for its clients"),
            Tag(name="tasks", description="Long jobs that survive restarts"),
            Tag(name="models", description="Loading and unloading models, and what was decided about them"),
            Tag(name="operations", description="The state of the hub, and what is installed"),
        ],
        render_plugins=[DocsPage(), json],
    )


def routes(json: CompleteSchema) -> list[ControllerRouterHandler]:
    """Return the handlers that Litestar lacks: /openapi.json, and the files that the page loads."""

    @get("/openapi.json", opt=OPEN, include_in_schema=False, sync_to_thread=False, media_type=MediaType.JSON)
    def openapi(request: Request) -> bytes:  # type: ignore[type-arg]
        """Return the schema of this API."""
        return json.render(request, request.app.openapi_schema.to_schema())

    @get([f"/docs/{name}" for name in ASSETS], opt=OPEN, include_in_schema=False, sync_to_thread=False)
    def asset(request: Request) -> Response:  # type: ignore[type-arg]
        """Return a file of the page."""
        name = request.scope["path"].rpartition("/")[2]
        return Response(_read(name), media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})

    return [openapi, asset]


@cache
def _read(name: str) -> bytes:
    return (STATIC / name).read_bytes()


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<title>tts-hub</title>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({ url: "{root}/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
</script>
</body>
</html>
"""
