"""Damage that the headers show before a decoder runs: files that are cut off, and tables that lie."""

from __future__ import annotations

import struct

_OPEN_ENDED = 0x7FFF_0000
"""A RIFF size from here on means that the writer did not know the size: a stream."""

_HARMLESS_TABLE = 1_000_000
"""Entries; libav needs 24 bytes for each."""


def find_damage(data: bytes) -> str:
    """Return the damage to `data`, in words, or an empty string. Never raises; knows WAV, Ogg and MP4."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav_damage(data)
    if data[:4] == b"OggS":
        return _ogg_damage(data)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _mp4_damage(data)
    return ""


def _wav_damage(data: bytes) -> str:
    """Find a WAV that is cut off; decoders read it without an error."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            missing = at + size - len(data)
            if missing > 0 and 0 < size < _OPEN_ENDED:
                return f"it is cut off: {missing} of its {size} bytes of audio are missing"
            return ""
        at += size + size % 2
    return "it is cut off before its audio begins"


def _ogg_damage(data: bytes) -> str:
    """Find an Ogg file whose last page is incomplete."""
    last = data.rfind(b"OggS")
    table = data[last + 26 : last + 27]
    lacing = data[last + 27 : last + 27 + table[0]] if table else b""
    if not table or len(lacing) < table[0] or last + 27 + table[0] + sum(lacing) > len(data):
        return "it is cut off in the middle of a page"
    return ""


def _mp4_damage(data: bytes) -> str:
    """Find a trap: a few bytes of an MP4 can claim billions of samples, and libav makes a table entry for each.

    A packet has at least two bytes, so a table of more packets than fit is a trap, unless it is small anyway.
    """
    claimed = 0
    for name, count_at in ((b"stsz", 12), (b"stz2", 12), (b"trun", 8)):
        at = data.find(name)
        while at >= 0:
            if at + count_at + 4 <= len(data):
                # "trun" may occur by chance in the audio data; version and flags identify a real one
                flags = struct.unpack_from(">I", data, at + 4)[0]
                if flags & 0xFEFF_F0FA == 0:
                    claimed += struct.unpack_from(">I", data, at + count_at)[0]
            at = data.find(name, at + 4)
    return (
        "its sample table claims more audio than the file can hold"
        if claimed > max(len(data) // 2, _HARMLESS_TABLE)
        else ""
    )
