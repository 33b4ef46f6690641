"""/v1/dictionaries: spellings that make models pronounce words correctly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from litestar import delete, get, put
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http.openapi import errors
from hub.contract import errors as fault
from hub.service.library.dictionaries import Dictionary

if TYPE_CHECKING:
    from hub.service.hub import Hub


class DictionaryFacts(Struct, kw_only=True):
    """A dictionary in a list, without its words."""

    id: str
    description: str
    words: Annotated[int, Meta(description="the number of its words")]


class Dictionaries(Struct, kw_only=True):
    """All dictionaries, by id."""

    dictionaries: list[DictionaryFacts]


class DictionaryBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A dictionary."""

    entries: Annotated[
        dict[str, str],
        Meta(description="word -> spelling; /.../ are phonemes", examples=[{"TTS": "tea tea ess", "nguyen": "win"}]),
    ]
    description: Annotated[str, Meta(max_length=1000)] = ""


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    return [*_reading(hub), *_writing(hub)]


def _reading(hub: Hub) -> list[ControllerRouterHandler]:
    @get(
        "/v1/dictionaries",
        tags=["dictionaries"],
        operation_id="list_dictionaries",
        summary="List all dictionaries",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_dictionaries() -> Dictionaries:
        """Returns all dictionaries, without their words."""
        found = await asyncio.to_thread(hub.dictionaries.list)
        return Dictionaries(
            dictionaries=[
                DictionaryFacts(id=one.id, description=one.description, words=len(one.entries)) for one in found
            ]
        )

    @get(
        "/v1/dictionaries/{dictionary:str}",
        tags=["dictionaries"],
        operation_id="get_dictionary",
        summary="Get a dictionary",
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.StorageFailed),
    )
    async def get_dictionary(dictionary: FromPath[str]) -> Dictionary:
        """Returns the dictionary as it is now: changes to its file by hand take effect at once."""
        return await asyncio.to_thread(hub.dictionaries.get, dictionary)

    return [list_dictionaries, get_dictionary]


def _writing(hub: Hub) -> list[ControllerRouterHandler]:
    @put(
        "/v1/dictionaries/{dictionary:str}",
        tags=["dictionaries"],
        operation_id="put_dictionary",
        summary="Store a dictionary",
        responses=errors(fault.InvalidRequest, fault.UnsupportedMediaType, fault.TooLarge, fault.StorageFailed),
    )
    async def put_dictionary(dictionary: FromPath[str], data: JSONBody[DictionaryBody]) -> Dictionary:
        """Creates the dictionary, or replaces the one of this id."""
        kept = Dictionary(id=dictionary, entries=data.entries, description=data.description)
        return await asyncio.to_thread(hub.dictionaries.put, kept)

    @delete(
        "/v1/dictionaries/{dictionary:str}",
        tags=["dictionaries"],
        operation_id="delete_dictionary",
        summary="Delete a dictionary",
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.StorageFailed),
    )
    async def delete_dictionary(dictionary: FromPath[str]) -> None:
        """Deletes the dictionary. Requests that name it are refused from now on."""
        await asyncio.to_thread(hub.dictionaries.delete, dictionary)

    return [put_dictionary, delete_dictionary]
