"""The description of the API, for programs and for people."""

import re
from html import unescape
from pathlib import Path

from terakoya.web.api.scopes import SCOPES

DOCS = Path(__file__).parents[3] / "docs/api.md"


def described(place):
    paths = place.ask("GET", "/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_openapi_describes_every_address(place):
    schema = place.ask("GET", "/openapi.json").json()
    assert all(path.startswith("/hub/api") for path in schema["paths"])
    assert ("POST", "/hub/api/users/{user}/servers/{name}") in described(place)
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["description"]
    body = schema["paths"]["/hub/api/users/{user}/tokens"]["post"]["requestBody"]["content"]["application/json"]
    assert "expires_in" in body["schema"]["properties"]


def test_the_page_for_people(place):
    answer = place.ask("GET", "/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    page = unescape(answer.text)
    for method, path in described(place):
        assert f"{method} {path}" in page
    for scope in SCOPES:
        assert f"<code>{scope}</code>" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text), "nothing from other sites"


def test_the_manual_tells_of_every_address_and_scope(place):
    manual = DOCS.read_text(encoding="utf-8")
    for method, path in described(place):
        line = f"`{method} {path.removeprefix('/hub/api') or '/'}`"
        assert line in manual, line
    for scope in SCOPES:
        assert f"`{scope}`" in manual, scope
