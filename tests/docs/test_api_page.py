"""docs/api.md: its requests run, and it has every route of the app."""

import asyncio
import re

import httpx
import pytest

from hub.api.app import create_app
from hub.audio import compressed
from hub.audio.encode import BUILTIN
from hub.contract.speech import SpeechRequest
from hub.service.hub import Hub
from hub.settings import Settings
from tests.support.pages import blocks, read, sections, tables

PAGE = read("docs/api.md")
UNLISTED = {"WS /v1/speech/live", "GET /metrics", "GET /docs", "GET /openapi.json"}
"""Routes that are not in the schema."""


def documented():
    return {heading for heading in sections(PAGE) if re.match(r"[A-Z]+ /", heading)}


@pytest.fixture(scope="module")
def app():
    return create_app(Hub.build(Settings()))


def test_the_examples_run(shell):
    assert shell.follow("docs/api.md") >= 20


def test_the_documented_routes_are_those_of_the_app(app):
    async def schema():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            return (await client.get("/openapi.json")).json()

    paths = asyncio.run(schema())["paths"]
    served = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert documented() == served | UNLISTED


def test_the_unlisted_routes_exist(app):
    paths = {route.path for route in app.routes}
    assert {route.split()[1] for route in UNLISTED} <= paths


def test_every_route_has_an_example_that_is_run():
    for heading in documented():
        path = heading.split()[1].split("{")[0]
        ran = [block.text for block in blocks(sections(PAGE)[heading]) if block.language == "console"]
        assert any(f"http://127.0.0.1:8900{path}" in text for text in ran), heading


def test_the_first_table_lists_the_routes():
    listed = {re.sub(r"[`\[\]]|\(.*\)", "", row[0]) for row in tables(PAGE)[0][1:]}
    assert listed == documented() | {"/compat/<plugin>/..."}


def test_the_fields_of_a_request_are_those_of_the_contract():
    rows = tables(sections(PAGE)["POST /v1/speech"])[0][1:]
    assert [row[0].strip("`") for row in rows] == list(SpeechRequest.__struct_fields__)


def test_the_formats_are_those_of_the_encoders():
    rows = {row[0].strip("`"): row for row in tables(sections(PAGE)["Formats"])[0][1:]}
    assert list(rows) == list(BUILTIN)
    for name, spec in BUILTIN.items():
        _, media_type, rates, bitrates, _ = rows[name]
        assert media_type.strip("`").startswith(spec.media_type)
        assert rates == (", ".join(map(str, spec.sample_rates)) or "any from 4000 to 192000")
        assert bool(bitrates) == (spec.bitrates is not None)


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac"])
def test_the_delays_are_those_of_the_encoders(name):
    delay = next(row[4] for row in tables(sections(PAGE)["Formats"])[0] if row[0] == f"`{name}`")
    (stated,) = re.findall(rf"^    {name} +(.+?)(?:\n\n|\n    \w|$)", compressed.__doc__, flags=re.M | re.S)
    assert re.findall(r"\d+ (?:frames?|ms)", delay) == [
        stated.split()[0] + " " + stated.split()[1].strip(","),
        *re.findall(r"\d+ ms", stated)[-1:],
    ]
