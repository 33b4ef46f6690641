"""Books to chapters."""

import contextlib
import io
import zipfile

import pytest

from hub.text import epub
from hub.text.book import BookError
from hub.text.read_book import markdown_chapters, read_book, text_chapters

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PAGE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" '
    '"http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>No</title><style>p {{}}</style></head>'
    "<body>{}</body></html>"
)
NAV = (
    '<html xmlns:epub="http://www.idpf.org/2007/ops"><body><nav epub:type="toc"><ol><li><a href="one.xhtml">The '
    '<i>First</i></a></li><li><a href="two%20b.xhtml#top">The Second</a></li></ol></nav><nav epub:type="landmarks">'
    '<ol><li><a href="three.xhtml">Cover</a></li></ol></nav></body></html>'
)
NCX = (
    '<ncx><navMap><navPoint><navLabel><text>The First</text></navLabel><content src="one.xhtml"/></navPoint><navPoint>'
    '<navLabel><text>The Second</text></navLabel><content src="two%20b.xhtml#top"/></navPoint></navMap><pageList>'
    '<pageTarget><navLabel><text>7</text></navLabel><content src="three.xhtml"/></pageTarget></pageList></ncx>'
)
PAGES = {
    "one.xhtml": "<h1>One</h1>"
    "<p>It&#160;was&nbsp;dark &amp; <em>stormy</em>.<a epub:type='noteref' href='#n'>1</a></p>",
    "two b.xhtml": "<div>She said:<br/>no.</div><script>var no;</script><p><ruby>漢字<rt>かんじ</rt></ruby>です。</p>",
    "three.xhtml": "<p>It went on.</p><table><tr><td>A</td><td>B</td></tr></table><img alt='no' src='x'/>",
}


def package(contents):
    """Return an OPF document; `contents` is its table's manifest entry, and the spine's attribute."""
    entry, attribute = contents
    items = "".join(
        f'<item id="p{n}" href="{name.replace(" ", "%20")}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(PAGES)
    )
    spine = "".join(f'<itemref idref="p{n}"/>' for n in range(len(PAGES)))
    return (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title id="t">A Book</dc:title><dc:creator>Ann Author'
        f"</dc:creator><dc:language>en</dc:language></metadata><manifest>{items}{entry}</manifest>"
        f"<spine {attribute}>{spine}</spine></package>"
    )


CONTENTS = {
    "epub 3": (('<item id="n" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>', ""), NAV),
    "epub 2": (('<item id="n" href="nav.xhtml" media-type="application/x-dtbncx+xml"/>', 'toc="n"'), NCX),
    "no contents": (("", ""), ""),
}


def lay(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def files_of(kind):
    entry, contents = CONTENTS[kind]
    pages = {f"OEBPS/{name}": PAGE.format(text) for name, text in PAGES.items()}
    return {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/content.opf": package(entry),
        "OEBPS/nav.xhtml": contents,
        **pages,
    }


@pytest.mark.parametrize("kind", ["epub 3", "epub 2"])
def test_an_epub_has_the_chapters_of_its_contents(tmp_path, kind):
    book = read_book(lay(tmp_path / "b.epub", files_of(kind)))
    assert (book.title, book.author, book.language) == ("A Book", "Ann Author", "en")
    assert [chapter.title for chapter in book.chapters] == ["The First", "The Second"]
    assert book.chapters[0].text == "One\n\nIt was dark & stormy."
    assert book.chapters[1].text == "She said:\n\nno.\n\n漢字です。\n\nIt went on.\n\nA\n\nB"


def test_an_epub_without_contents_has_one_chapter_per_document(tmp_path):
    book = read_book(lay(tmp_path / "b.epub", files_of("no contents")))
    assert [chapter.title for chapter in book.chapters] == ["One", "", ""]


def test_entities_of_a_document_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE html [<!ENTITY a "BOOM"><!ENTITY b "&a;&a;">]><html><body><p>Text &b; end.</p></body></html>'
    book = read_book(lay(tmp_path / "b.epub", {**files_of("epub 3"), "OEBPS/one.xhtml": bomb}))
    assert book.chapters[0].text.count("BOOM") <= 1, "at most the text of the declaration"
    assert "end." in book.chapters[0].text


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(epub, "MAX_DOCUMENT", 100_000)
    bomb = lay(tmp_path / "b.epub", {**files_of("epub 3"), "OEBPS/one.xhtml": "<p>" + "a" * 10_000_000})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BookError, match="unpacks to more"):
        read_book(bomb)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"META-INF/container.xml": "<container/>"},
        {"META-INF/container.xml": CONTAINER},
        {"META-INF/container.xml": CONTAINER, "OEBPS/content.opf": "<package/>"},
        {**files_of("epub 3"), "META-INF/encryption.xml": "<x/>", "META-INF/rights.xml": "<x/>"},
        {"META-INF/container.xml": CONTAINER.replace("OEBPS/content.opf", "../../../etc/passwd")},
    ],
)
def test_files_that_are_not_books_are_refused(tmp_path, files):
    with pytest.raises(BookError):
        read_book(lay(tmp_path / "b.epub", files))


def test_damaged_files_are_refused(tmp_path):
    whole = io.BytesIO()
    lay(whole, files_of("epub 3"))
    for size in range(0, len(whole.getvalue()), 97):
        (tmp_path / "b.epub").write_bytes(whole.getvalue()[:size])
        with pytest.raises(BookError):
            read_book(tmp_path / "b.epub")
    data = bytearray(whole.getvalue())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / "b.epub").write_bytes(data)
    with contextlib.suppress(BookError):
        read_book(tmp_path / "b.epub")


def test_text_is_cut_before_lines_that_read_like_headings():
    text = "Preface\n\nFirst.\n\nChapter One\n\nChapter two of it was long,\nand wet.\n\nCHAPTER II. The End\n\nOver.\n"
    chapters = text_chapters(text)
    assert [chapter.title for chapter in chapters] == ["Preface", "Chapter One", "CHAPTER II. The End"]
    assert chapters[1].text.endswith("and wet.")
    assert [chapter.title for chapter in text_chapters("书名\n\n第一章 开始\n\n一。\n\n第十二回\n\n二。")] == [
        "",
        "第一章 开始",
        "第十二回",
    ]
    assert [chapter.title for chapter in text_chapters("Just a text.\n\nWith paragraphs.")] == [""]


def test_markdown_is_cut_at_its_headings_and_loses_its_markup():
    text = (
        "---\ntitle: x\n---\n# Book\n\n## One\n\nSome *words* with a [link](http://x) and\na `name`.\n\n"
        "```\ncode()\n```\n\n- first\n- second\n\n![picture](x.png)\n\n## Two\n\n> Quoted.\n\n<div>html</div>\n"
    )
    assert [(chapter.title, chapter.text) for chapter in markdown_chapters(text)] == [
        ("", "Book"),
        ("One", "One\n\nSome words with a link and\na name.\n\nfirst\n\nsecond"),
        ("Two", "Two\n\nQuoted."),
    ]


def test_files_are_read_by_their_extension_and_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffGrüße.\r\n".encode())
    (tmp_path / "b.txt").write_text("Grüße.", encoding="utf-16")
    assert [read_book(tmp_path / name).chapters[0].text for name in ("a.txt", "b.txt")] == ["Grüße."] * 2
    (tmp_path / "c.txt").write_bytes("Grüße.".encode("latin-1"))
    (tmp_path / "d.txt").write_text(" \n ")
    (tmp_path / "e.pdf").write_text("x")
    for name in ("c.txt", "d.txt", "e.pdf"):
        with pytest.raises(BookError, match=name):
            read_book(tmp_path / name)
