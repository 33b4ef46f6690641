"""Reading books: `.txt`, `.md` and `.epub` files."""

from __future__ import annotations

import re
from pathlib import Path

from hub.text.book import MAX_BYTES, Book, BookChapter, BookError
from hub.text.epub import read_epub


def read_book(path: Path) -> Book:
    """Read a book by its file's extension. Raises BookError, OSError."""
    extension = path.suffix.lower()
    if extension not in (".txt", ".text", ".md", ".markdown", ".epub"):
        raise BookError(f"cannot read {path.name} as a book; use a .txt, .md or .epub file")
    if path.stat().st_size > MAX_BYTES:
        raise BookError(f"{path.name} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    if extension == ".epub":
        book = read_epub(path)
    else:
        text = _decode(path.read_bytes(), path.name)
        chapters = markdown_chapters(text) if extension.startswith(".m") else text_chapters(text)
        book = Book(path.stem, "", "", tuple(chapters))
    chapters = [chapter for chapter in book.chapters if chapter.text.strip()]
    if not chapters:
        raise BookError(f"{path.name} has no text to speak")
    return book._replace(title=book.title or path.stem, chapters=tuple(chapters))


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BookError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


_NUMBER = r"(?:\d{1,4}|[IVXLCDM]{1,8}|[A-Z][a-z]+(?:[ -][A-Za-z]+)?|[A-Z]{3,12}(?:[ -][A-Z]+)?)"
_HEADING = re.compile(
    rf"(?:(?:Chapter|CHAPTER|Part|PART|Book|BOOK|Section|SECTION) {_NUMBER}\b[.:]?.{{0,80}}"
    r"|(?:Prologue|Epilogue|Introduction|Preface|Foreword|Afterword"
    r"|PROLOGUE|EPILOGUE|INTRODUCTION|PREFACE|FOREWORD|AFTERWORD)[.:]?.{0,80}"
    r"|第[0-9０-９一二三四五六七八九十百千零〇两]{1,8}[章回节節卷部篇话話].{0,40}"
    r"|제 ?\d{1,4} ?[장화부].{0,40})"
)


def text_chapters(text: str) -> list[BookChapter]:
    """Cut plain text before each line that stands by itself and reads like a chapter's heading."""
    cuts, titles = [0], [""]
    for found in re.finditer(r"(?:\A|\n[ \t]*\n)[ \t]*(?P<line>[^\n]+)(?=\n[ \t]*\n)", text):
        line = found["line"].strip()
        if _HEADING.fullmatch(line):
            cuts.append(found.start("line"))
            titles.append(line)
    parts = [text[start:end].strip() for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]
    return [BookChapter(title, part) for title, part in zip(titles, parts, strict=True) if part]


def markdown_chapters(text: str) -> list[BookChapter]:
    """Cut Markdown at the highest level of heading that occurs more than once; leave out code, images and HTML."""
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    tokens = MarkdownIt("commonmark").enable("table").parse(_without_front_matter(text))
    levels = [token.tag for token in tokens if token.type == "heading_open"]
    cut_at = next((level for level in ("h1", "h2", "h3") if levels.count(level) > 1), levels[0] if levels else "")
    chapters: list[tuple[str, list[str]]] = [("", [])]

    def words(token: Token) -> str:
        breaks = {"softbreak": "\n", "hardbreak": "\n"}
        kept = (
            breaks.get(child.type, child.content if child.type in ("text", "code_inline") else "")
            for child in token.children or ()
        )
        return "".join(kept).strip()

    heading = ""
    for token in tokens:
        if token.type == "heading_open":
            heading = token.tag
        elif token.type == "inline":
            line = words(token)
            if heading == cut_at and line:
                chapters.append((line, []))
            if line:
                chapters[-1][1].append(line)
            heading = ""
    return [BookChapter(title, "\n\n".join(lines)) for title, lines in chapters if lines]


def _without_front_matter(text: str) -> str:
    return re.sub(r"\A---\n.*?\n(?:---|\.\.\.)\n", "", text, count=1, flags=re.DOTALL)
