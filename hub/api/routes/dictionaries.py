"""/v1/dictionaries: words, and how to write them for a model, so that it says them right."""

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
    """A dictionary in a list: without its words."""

    id: str
    description: str
    words: Annotated[int, Meta(description="how many words it has")]


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
    """The handlers."""

    @get(
        "/v1/dictionaries",
        tags=["dictionaries"],
        operation_id="list_dictionaries",
        summary="All dictionaries",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_dictionaries() -> Dictionaries:
        """Without their words."""
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
        summary="One dictionary",
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.StorageFailed),
    )
    async def get_dictionary(dictionary: FromPath[str]) -> Dictionary:
        """With its words, as it is now: a file that was changed by hand counts at once."""
        return await asyncio.to_thread(hub.dictionaries.get, dictionary)

    @put(
        "/v1/dictionaries/{dictionary:str}",
        tags=["dictionaries"],
        operation_id="put_dictionary",
        summary="Keep a dictionary",
        responses=errors(fault.InvalidRequest, fault.UnsupportedMediaType, fault.TooLarge, fault.StorageFailed),
    )
    async def put_dictionary(dictionary: FromPath[str], data: JSONBody[DictionaryBody]) -> Dictionary:
        """Makes it, or replaces the one that there is."""
        kept = Dictionary(id=dictionary, entries=data.entries, description=data.description)
        return await asyncio.to_thread(hub.dictionaries.put, kept)

    @delete(
        "/v1/dictionaries/{dictionary:str}",
        tags=["dictionaries"],
        operation_id="delete_dictionary",
        summary="Remove a dictionary",
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.StorageFailed),
    )
    async def delete_dictionary(dictionary: FromPath[str]) -> None:
        """Requests that name it are refused from now on."""
        await asyncio.to_thread(hub.dictionaries.delete, dictionary)

    return [list_dictionaries, get_dictionary, put_dictionary, delete_dictionary]
