"""Mixtures: a voice between voices, named like `low(2)+high(1)`, for models that can blend voices."""

from __future__ import annotations

import re

from hub.contract.backend import Capabilities
from hub.contract.errors import InvalidRequest, UnsupportedCapability

MOST_PARTS = 8

_PART = re.compile(r"\s*(?P<id>[^()]+?)\s*(?:\((?P<weight>\d{1,3}(?:\.\d{1,6})?)\))?\s*")


def parts_of(name: str, model: str, can: Capabilities) -> tuple[tuple[str, float], ...]:
    """Return (voice id, weight) of each part of a mixture; the weights add up to 1. A single voice is one part.

    Raises UnsupportedCapability if the model cannot blend voices, InvalidRequest for an invalid mixture.
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
            f"invalid mixture {name[:100]!r}: write 2 to {MOST_PARTS} voices with their weights, as in low(2)+high(1)"
        )
    weights = {match["id"]: float(match["weight"] or 1) for match in found if match is not None}
    total = sum(weights.values())
    if len(weights) < len(found) or not total:
        raise InvalidRequest(f"invalid mixture {name[:100]!r}: name each voice once, and give one a weight over 0")
    return tuple((id, weight / total) for id, weight in weights.items())
