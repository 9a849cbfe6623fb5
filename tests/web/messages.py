"""What the pages say: every sentence that must stand in the catalogues. `python -m tests.web.messages` updates them."""

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from terakoya import errors
from terakoya.web import i18n

WEB = Path(i18n.__file__).parent
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]


def subclasses(kind):
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


def extracted() -> Catalog:
    """Sentences of the templates, of `_()` in the pages' code, and of every error."""
    catalog = Catalog(project="terakoya", charset="utf-8")
    found = extract_from_dir(
        str(WEB), METHODS, {"templates/**.html": {"newstyle_gettext": "true", "trim_blocks": "true"}}
    )
    for name, _line, message, _comments, _context in found:
        catalog.add(message, locations=[(f"terakoya/web/{name}", 0)])
    for kind in subclasses(errors.TerakoyaError):
        for text in kind.texts():
            if text.strip("{}").isidentifier():
                continue  # nothing but a fact
            catalog.add(text, locations=[("terakoya/errors.py", 0)])
    return catalog


def read(language: str) -> Catalog:
    path = i18n.LOCALE / language / "LC_MESSAGES/terakoya.po"
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> None:
    path = i18n.LOCALE / language / "LC_MESSAGES/terakoya.po"
    catalog = read(language) if path.exists() else Catalog(locale=language, project="terakoya", charset="utf-8")
    catalog.update(extracted(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    out = io.BytesIO()
    write_po(out, catalog, sort_output=True, omit_header=False, include_lineno=False, width=110)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue())


if __name__ == "__main__":
    update("ja")
