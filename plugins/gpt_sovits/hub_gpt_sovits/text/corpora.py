"""Packages that ask nltk for corpora when they are imported: none is needed, and nothing is fetched at run time."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator


@contextlib.contextmanager
def nothing_fetched() -> Iterator[None]:
    """Within, `nltk.download` does nothing, and what is printed is not shown. Raises ImportError without nltk."""
    import nltk

    download = nltk.download
    nltk.download = lambda *names, **options: False
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        nltk.download = download
