"""Books as chapters of plain text; `hub.text.read_book` reads them."""

from __future__ import annotations

from typing import NamedTuple

MAX_BYTES = 256 * 1024 * 1024
"""Of a file, and of all that is read out of an EPUB."""


class BookError(ValueError):
    """The file is no book that can be read; the message says why."""


class BookChapter(NamedTuple):
    """A part of a book. `text` begins with the title where the book prints it."""

    title: str
    text: str


class Book(NamedTuple):
    """A book; every chapter has a text that is not blank."""

    title: str
    author: str
    language: str
    chapters: tuple[BookChapter, ...]
