"""Templates into pages: one Jinja environment for each language."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from babel.dates import format_datetime, format_timedelta
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from terakoya import __version__
from terakoya.web import i18n, reasons
from terakoya.web.hosts import server_path
from terakoya.web.state import hub

TEMPLATES = Path(__file__).parent / "templates"
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "terakoya-theme"
YEAR = 365 * 86400


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page or the part of a page that `template` makes, in the visitor's language."""
    response = HTMLResponse(text(request, template, **values), status)
    asked = request.query_params.get("lang")
    if asked in i18n.NAMES:
        response.set_cookie(
            i18n.COOKIE, asked, max_age=YEAR, path="/", samesite="lax", secure=hub(request).config.secure
        )
    return response


def text(request: Request, template: str, **values: Any) -> str:
    here = hub(request)
    language = language_of(request)
    theme = request.cookies.get(THEME_COOKIE, "auto")
    return (
        environment(language, here.catalogues)
        .get_template(template)
        .render(
            {
                "site": here.config.site,
                "config": here.config,
                "static": here.statics.url,
                "visitor": getattr(request.state, "visitor", None),
                "language": language,
                "languages": i18n.NAMES,
                "language_links": {code: _with_language(request, code) for code in i18n.NAMES},
                "theme": theme if theme in THEMES else "auto",
                "path": request.url.path,
                "version": __version__,
            }
            | values
        )
    )


def redirect(to: str, status: int = 303) -> Response:
    """A redirect to an address that has been checked; letters that no header may have are quoted."""
    return RedirectResponse(to, status)


def move(request: Request, to: str) -> Response:
    """A redirect that also works as the answer to a part of a page that asked by script."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=200, headers={"HX-Redirect": RedirectResponse(to).headers["location"]})
    return redirect(to)


def language_of(request: Request) -> str:
    return i18n.choose(request, hub(request).config)


def _with_language(request: Request, language: str) -> str:
    query = [(name, value) for name, value in parse_qsl(request.url.query) if name not in {"lang", "code"}]
    return "?" + urlencode([*query, ("lang", language)])


_environments: dict[tuple[int, str], Environment] = {}


def environment(language: str, catalogues: i18n.Catalogues) -> Environment:
    """Jinja with the functions that templates use; made once for each language."""
    found = _environments.get((id(catalogues), language))
    if found is None:
        found = _environments[id(catalogues), language] = _make(language, catalogues)
    return found


def _make(language: str, catalogues: i18n.Catalogues) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translations = catalogues.of(language)
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]  # of the extension
    made.filters |= {
        "ago": lambda at: ago(at, language),
        "when": lambda at: when(at, language),
        "size": size,
        "duration": lambda seconds: format_timedelta(timedelta(seconds=seconds), threshold=1, locale=language),
        "iso": lambda at: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "query": query,
        "reason": lambda clause: reasons.explain(clause, translations.gettext),
    }
    made.globals |= {"server_path": server_path}
    return made


def ago(at: float, language: str) -> str:
    """How long ago, or in how long, in words: "3 minutes ago"."""
    return str(format_timedelta(at - time.time(), add_direction=True, threshold=0.9, locale=language))


def when(at: float, language: str) -> str:
    """A date and time in the server's own time zone."""
    return str(format_datetime(datetime.fromtimestamp(at).astimezone(), "medium", locale=language))


def size(count: float) -> str:
    """Bytes as people read them: "241 MB"."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":  # noqa: PLR2004 the step between units
            break
        count /= 1000
    return f"{count:.1f} {unit}" if count < 10 and unit not in {"B", "kB", "MB"} else f"{count:.0f} {unit}"  # noqa: PLR2004 one digit


def query(values: Mapping[str, Any], **changed: Any) -> str:
    """A query string of what is set in `values`, with some changed."""
    return "?" + urlencode({name: value for name, value in (dict(values) | changed).items() if value not in {"", None}})
