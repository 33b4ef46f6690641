"""Ids of voices, scenes and dictionaries: readable names that are safe as file names on any system."""

from __future__ import annotations

import unicodedata

from hub.contract.errors import InvalidRequest

LONGEST = 255
"""Characters."""

LONGEST_BYTES = 255
"""Of UTF-8: the longest name that file systems accept."""

SUFFIX_BYTES = 15
"""Bytes kept free for the suffix of a file. A voice is a folder and needs none."""

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def check_id(name: str, what: str = "voice") -> str:
    """Return `name` in Unicode's composed form (NFC). Raises InvalidRequest, with the rules, if it is not a valid id.

    Valid are letters and digits of any script, `-`, `_`, `.` and space; neither a dot nor a space at either end; and
    no name that Windows reserves.
    """
    name = unicodedata.normalize("NFC", name)
    most = LONGEST_BYTES if what == "voice" else LONGEST_BYTES - SUFFIX_BYTES
    if not name or len(name) > LONGEST or len(name.encode("utf-8", "replace")) > most:
        raise InvalidRequest(
            f"a {what} id has 1 to {LONGEST} characters (at most {most} bytes of UTF-8), not {len(name)}"
        )
    strange = [char for char in name if char not in "-_. " and unicodedata.category(char)[0] not in "LMN"]
    if strange or name[0] in ". " or name[-1] in ". " or name.partition(".")[0].lower() in _RESERVED:
        raise InvalidRequest(
            f"{name!a} cannot be a {what} id: use letters and digits of any script, '-', '_', spaces and dots, "
            "with neither a space nor a dot at its ends",
            id=name.encode("utf-8", "replace").decode(),
        )
    return name


def is_id(name: str) -> bool:
    """True if `name` is a valid id, in composed form or not."""
    try:
        check_id(name)
    except InvalidRequest:
        return False
    return True


def folded(name: str) -> str:
    """`name` in a form that is equal for ids that differ only in case, or only in how their accents are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
