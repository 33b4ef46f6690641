"""Books as chapters of plain text; `hub.text.read_book` reads them."""

from __future__ import annotations

from typing import NamedTuple

MAX_BYTES = 256 * 1024 * 1024
"""The limit for a file, and for all that is read from an EPUB."""


class BookError(ValueError):
    """The file cannot be read as a book; the message says why."""


class BookChapter(NamedTuple):
    """A chapter of a book. `text` begins with the title if the book prints it there."""

    title: str
    text: str


class Book(NamedTuple):
    """A book; every chapter has a text that is not blank."""

    title: str
    author: str
    language: str
    chapters: tuple[BookChapter, ...]
