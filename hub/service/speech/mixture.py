"""Mixtures: a voice between voices, named as `low(2)+high(1)`, for models that can blend."""

from __future__ import annotations

import re

from hub.contract.backend import Capabilities
from hub.contract.errors import InvalidRequest, UnsupportedCapability

MOST_PARTS = 8

_PART = re.compile(r"\s*(?P<id>[^()]+?)\s*(?:\((?P<weight>\d{1,3}(?:\.\d{1,6})?)\))?\s*")


def parts_of(name: str, model: str, can: Capabilities) -> tuple[tuple[str, float], ...]:
    """(voice id, weight) of each part of a mixture, the weights together 1; a single voice is a part of its own.

    Raises UnsupportedCapability if the model cannot blend, InvalidRequest for a name that is no mixture.
    """
    if "+" not in name:
        return ((name, 1.0),)
    if not can.mixing:
        raise UnsupportedCapability(
            f"model {model!r} has no mixing: name one voice, not {name[:100]!r}", model=model, capability="mixing"
        )
    found = [_PART.fullmatch(part) for part in name.split("+")]
    if not all(found) or len(found) > MOST_PARTS:
        raise InvalidRequest(
            f"{name[:100]!r} is no mixture: write two to {MOST_PARTS} voices with their weights, as low(2)+high(1)"
        )
    weights = {match["id"]: float(match["weight"] or 1) for match in found if match is not None}
    total = sum(weights.values())
    if len(weights) < len(found) or not total:
        raise InvalidRequest(f"{name[:100]!r} is no mixture: each voice once, and not all weights 0")
    return tuple((id, weight / total) for id, weight in weights.items())
