"""Imports without downloads: some packages ask nltk for corpora that are not needed here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator


@contextlib.contextmanager
def nothing_fetched() -> Iterator[None]:
    """A block in which `nltk.download` does nothing, and prints are not shown. Raises ImportError without nltk."""
    import nltk

    download = nltk.download
    nltk.download = lambda *names, **options: False
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        nltk.download = download
