"""Voice ids: names that are safe as folder names on any system, and readable to people."""

from __future__ import annotations

import unicodedata

from hub.contract.errors import InvalidRequest

LONGEST = 255
"""Characters."""

LONGEST_BYTES = 255
"""Of UTF-8: what a file system takes."""

SUFFIX_BYTES = 15
"""What the file of anything but a voice, which is a folder, may need behind its id."""

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def check_id(name: str, what: str = "voice") -> str:
    """`name` in Unicode's composed form (NFC), if it will do as an id. Raises InvalidRequest, saying what will.

    Letters and digits of any script, `-`, `_`, `.` and space; not beginning or ending with a dot or a space.
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
    """Whether `name`, which may have come by hand, will do as an id as it is, or composed."""
    try:
        check_id(name)
    except InvalidRequest:
        return False
    return True


def folded(name: str) -> str:
    """What two ids share that differ only by case, or only in how their accents are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
