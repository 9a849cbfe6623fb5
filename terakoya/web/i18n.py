"""The languages of the pages: catalogues read from `.po` files at the start, and which one a visitor gets."""

from __future__ import annotations

import gettext
import io
from dataclasses import dataclass
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection

from terakoya.config import Config
from terakoya.errors import TerakoyaError

LOCALE = Path(__file__).parent / "locale"
SOURCE = "en"
COOKIE = "terakoya-language"
NAMES = {"en": "English", "ja": "日本語"}
"""Each language by its own name, in the order of the footer."""


@dataclass(frozen=True)
class Catalogues:
    """Translations by language; English is the language of the sources."""

    by_language: dict[str, gettext.NullTranslations]

    def of(self, language: str) -> gettext.NullTranslations:
        return self.by_language.get(language) or self.by_language[SOURCE]

    def explain(self, language: str, error: TerakoyaError) -> tuple[str, str]:
        """What happened and what to do next; the templates are translated, then the facts put in.

        A fact may itself be a sentence that the catalogue knows, such as the reason why a server did not start.
        """
        translate = self.of(language).gettext
        facts = {
            name: translate(fact) if isinstance(fact, str) and fact else fact for name, fact in error.facts.items()
        }
        what, cure = error.texts()
        return translate(what).format(**facts), translate(cure).format(**facts)


def load(folder: Path = LOCALE) -> Catalogues:
    """Every catalogue below `folder`, compiled in memory, so that no binary is kept beside its source."""
    found: dict[str, gettext.NullTranslations] = {SOURCE: gettext.NullTranslations()}
    for path in sorted(folder.glob("*/LC_MESSAGES/terakoya.po")):
        language = path.parent.parent.name
        compiled = io.BytesIO()
        with path.open("rb") as source:
            write_mo(compiled, read_po(source, locale=language))
        compiled.seek(0)
        found[language] = gettext.GNUTranslations(compiled)
    return Catalogues(found)


def choose(connection: HTTPConnection, config: Config) -> str:
    """`?lang=` counts most, then the cookie it left, the site's setting, and what the browser asks for."""
    asked = connection.query_params.get("lang") or connection.cookies.get(COOKIE)
    if asked in NAMES:
        return str(asked)
    if config.site.language in NAMES:
        return config.site.language
    return preferred(connection.headers.get("accept-language", ""))


def preferred(header: str) -> str:
    """The best known language of an Accept-Language header, English when there is none."""
    wishes = []
    for place, part in enumerate(header.split(",")[:20]):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        wishes.append((-weight, place, tag.split("-")[0].lower()))
    return next((tag for weight, _, tag in sorted(wishes) if weight < 0 and tag in NAMES), SOURCE)
