"""Reading EPUB 2 and 3 with the standard library.

The files inside are XML or XHTML. The HTML parser of the standard library reads them: it expands no entities but HTML's
characters, opens no files, and accepts the many books that are not well-formed. The amount that is read is limited.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from hub.text.book import MAX_BYTES, Book, BookChapter, BookError

MAX_DOCUMENT = 32 * 1024 * 1024
MAX_DOCUMENTS = 10_000


class _Item(NamedTuple):
    """A line of the package's manifest; `href` is the path in the archive."""

    id: str
    href: str
    properties: str
    media_type: str


def read_epub(path: Path) -> Book:
    """Read a book: one chapter for each entry of its table of contents, or for each document if it has none.

    Raises BookError if the file is damaged, protected, or not an EPUB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Package(archive).book()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BookError(f"{path.name} is damaged, or not an EPUB: {error}") from None


class _Package:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = MAX_BYTES
        names = set(archive.namelist())
        if "META-INF/container.xml" not in names:
            raise BookError("this is not an EPUB: it has no META-INF/container.xml")
        if "META-INF/encryption.xml" in names and "META-INF/rights.xml" in names:
            raise BookError("this book is protected (DRM) and cannot be read")
        root = _first(_elements(self._text("META-INF/container.xml")), "rootfile", "full-path")
        if not root:
            raise BookError("this EPUB names no package document")
        self._root = unquote(root)

    def book(self) -> Book:
        package = self._text(self._root)
        elements = list(_elements(package))
        items = {item.id: item for item in self._manifest(elements)}
        spine = [
            items[attributes["idref"]]
            for name, attributes in elements
            if name == "itemref" and attributes.get("linear") != "no" and attributes.get("idref") in items
        ]
        if len(spine) > MAX_DOCUMENTS:
            raise BookError(f"this EPUB has {len(spine)} documents; the limit is {MAX_DOCUMENTS}")
        titles = self._contents(elements, items.values())
        meta = _Meta(package)
        return Book(meta.title, meta.author, meta.language, tuple(self._chapters(spine, titles)))

    def _manifest(self, elements: Iterable[tuple[str, dict[str, str]]]) -> Iterator[_Item]:
        for name, attributes in elements:
            if name == "item" and "href" in attributes:
                href = _join(self._root, attributes["href"])
                yield _Item(
                    attributes.get("id", ""), href, attributes.get("properties", ""), attributes.get("media-type", "")
                )

    def _contents(self, elements: list[tuple[str, dict[str, str]]], items: Iterable[_Item]) -> dict[str, str]:
        """Return each document's title in the table of contents: EPUB 3's, else EPUB 2's."""
        items = list(items)
        navigation = next((item for item in items if "nav" in item.properties.split()), None)
        if navigation is None:
            named = next((attributes.get("toc") for name, attributes in elements if name == "spine"), None)
            navigation = next((item for item in items if item.id == named), None)
            navigation = navigation or next((item for item in items if "dtbncx" in item.media_type), None)
        if navigation is None:
            return {}
        try:
            found = _Links(self._text(navigation.href)).found
        except BookError:
            return {}
        titles: dict[str, str] = {}
        for href, title in found:
            titles.setdefault(_join(navigation.href, href), title)
        return titles

    def _chapters(self, spine: list[_Item], titles: dict[str, str]) -> Iterator[BookChapter]:
        """Yield the chapters. A document that the contents do not name belongs to the chapter before it."""
        title, texts = "", list[str]()
        for item in spine:
            if "nav" in item.properties.split() or "html" not in item.media_type:
                continue
            page = _Page(self._text(item.href))
            begins = item.href in titles or not titles or not texts
            if begins and texts:
                yield BookChapter(title, "\n\n".join(texts))
                texts = []
            if begins:
                title = titles.get(item.href) or page.heading
            if page.text:
                texts.append(page.text)
        if texts:
            yield BookChapter(title, "\n\n".join(texts))

    def _text(self, name: str) -> str:
        """Return a file of the archive, decoded. Whatever size it claims, no more than the limits is unpacked."""
        try:
            info = self._archive.getinfo(name)
            limit = min(MAX_DOCUMENT, self._left)
            with self._archive.open(info) as file:
                data = file.read(limit + 1)
        except KeyError:
            raise BookError(f"this EPUB lacks the file {name[-100:]!r}") from None
        except RuntimeError:
            raise BookError("this EPUB is encrypted and cannot be read") from None
        if len(data) > limit:
            raise BookError("this EPUB unpacks to more than any book needs; it was not read")
        self._left -= len(data)
        declared = re.search(rb"encoding=[\"']([A-Za-z0-9_.-]+)[\"']", data[:200])
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else declared[1].decode() if declared else "utf-8"
        try:
            return data.decode(encoding, errors="replace").removeprefix("\ufeff")
        except LookupError:
            return data.decode("utf-8", errors="replace")


def _join(base: str, href: str) -> str:
    """Return the path in the archive that a link in the document `base` points to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(href.partition("#")[0])))


class _Elements(HTMLParser):
    """Every element's local name and attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag.rpartition(":")[2], {name: value or "" for name, value in attrs}))


def _elements(text: str) -> list[tuple[str, dict[str, str]]]:
    return _Elements(text).found


def _first(elements: Iterable[tuple[str, dict[str, str]]], name: str, attribute: str) -> str:
    return next((attributes.get(attribute, "") for found, attributes in elements if found == name), "")


class _Meta(HTMLParser):
    """Title, author and language of a package document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = self.author = self.language = ""
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = {"dc:title": "title", "dc:creator": "author", "dc:language": "language"}.get(tag, "")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in and not getattr(self, self._in):
            setattr(self, self._in, " ".join(data.split()))


class _Links(HTMLParser):
    """(href, label) of a table of contents: the `<a>` of a navigation document, or an NCX file's navPoints."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._label: list[str] | None = None
        self._href = ""
        self._listed = "<nav" not in text  # of a navigation document, read only the first list, the contents
        self._over = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in ("pagelist", "navlist"):
            self._over = True  # an NCX file's lists of pages, figures and the like
        elif self._over:
            return
        elif tag == "nav" and attributes.get("epub:type", "toc") == "toc":
            self._listed = True
        elif tag == "a" and self._listed:
            self._label, self._href = [], attributes.get("href") or ""
        elif tag == "navlabel":
            self._label = []
        elif tag == "content" and self._label is not None:
            self._add(attributes.get("src") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav":
            self._listed = False
        elif tag == "a" and self._label is not None:
            self._add(self._href)

    def handle_data(self, data: str) -> None:
        if self._label is not None:
            self._label.append(data)

    def _add(self, href: str) -> None:
        label, self._label = " ".join("".join(self._label or ()).split()), None
        if href and label:
            self.found.append((href, label))


def _tags(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_BLOCKS = _tags(
    "address article aside blockquote body br caption center dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 "
    "header hr li main ol p pre section table td th tr ul"
)
_MUTE = _tags("head script style svg math rt rp audio video object nav")
_HEADINGS = _tags("h1 h2 h3")


class _Page(HTMLParser):
    """The text of a document, one paragraph per block, and its first heading. Leaves out ruby readings and notes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._blocks: list[str] = []
        self._words: list[str] = []
        self._mute: list[str] = []
        self._heading: list[str] | None = None
        self.heading = ""
        self.feed(text)
        self.close()
        self._end_block()

    @property
    def text(self) -> str:
        """The paragraphs, separated by empty lines."""
        return "\n\n".join(self._blocks)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        reference = tag == "a" and dict(attrs).get("epub:type") == "noteref"
        if self._mute or tag in _MUTE or reference:
            if not self._mute or tag == self._mute[0]:
                self._mute.append(tag)
            return
        if tag in _BLOCKS:
            self._end_block()
        if tag in _HEADINGS and not self.heading:
            self._heading = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._mute and tag in _BLOCKS:
            self._end_block()

    def handle_endtag(self, tag: str) -> None:
        if self._mute:
            if tag == self._mute[0]:
                self._mute.pop()
            return
        if tag in _BLOCKS:
            self._end_block()
        if tag in _HEADINGS and self._heading is not None:
            self.heading, self._heading = " ".join("".join(self._heading).split()), None

    def handle_data(self, data: str) -> None:
        if self._mute:
            return
        self._words.append(data)
        if self._heading is not None:
            self._heading.append(data)

    def _end_block(self) -> None:
        if block := " ".join("".join(self._words).split()):
            self._blocks.append(block)
        self._words = []
