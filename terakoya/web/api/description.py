"""/hub/api/docs: the API for people, made from the same description that programs read as OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from terakoya.web.api.route import ApiRoute
from terakoya.web.api.scopes import EVERYTHING_OWNED, SCOPES
from terakoya.web.render import page
from terakoya.web.visitor import visitor

routes = APIRouter(route_class=ApiRoute)

OPENAPI = "/hub/api/openapi.json"


@dataclass(frozen=True)
class Parameter:
    """One thing that an address takes: in the path, the query or the body."""

    name: str
    place: str
    kind: str
    about: str


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    title: Markup
    about: Markup
    parameters: list[Parameter]


def operations(schema: dict[str, Any]) -> dict[str, list[Operation]]:
    """An OpenAPI schema as the page shows it: by tag, in the order of the code."""
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            by_tag.setdefault(described.get("tags", [""])[0], []).append(_operation(path, method, described))
    return by_tag


def _operation(path: str, method: str, described: dict[str, Any]) -> Operation:
    title, _, about = described.get("description", "").partition("\n\n")
    parameters = [
        Parameter(one["name"], one["in"], _kind(one["schema"]), one.get("description", ""))
        for one in described.get("parameters", [])
        if one["in"] != "header"
    ]
    content = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    parameters += [
        Parameter(name, "body", _kind(one), one.get("description", ""))
        for name, one in content.get("properties", {}).items()
    ]
    return Operation(method.upper(), path, coded(title), coded(about), parameters)


def coded(text: str) -> Markup:
    """A paragraph of a docstring as HTML: what stands between backticks is code."""
    parts = " ".join(text.split()).split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _kind(schema: dict[str, Any]) -> str:
    """A type in words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f'"{value}"' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = {"string": "text", "integer": "number", "boolean": "true or false", "object": "object"}
    return words.get(schema.get("type", ""), "anything")


@routes.get("/docs", include_in_schema=False)
def docs(request: Request) -> Response:
    """A page that needs nothing from other sites."""
    visitor(request)
    return page(
        request,
        "api.html",
        operations=operations(request.app.openapi()),
        scopes=EVERYTHING_OWNED | {name: about for name, (about, _) in SCOPES.items()},
        openapi=OPENAPI,
    )
