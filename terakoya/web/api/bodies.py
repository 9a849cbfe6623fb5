"""What callers send. It is read as JSON whatever its content type says: the ecosystem's clients often say none."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from terakoya.errors import ApiRequestTooLarge, BadApiRequest

MOST_BYTES = 256 * 1024
"""A thousand names fit; nothing that the API takes is longer."""

NAMES_AT_ONCE = 1000


class Body(BaseModel):
    """Types are not converted, so that "false" is not true; what is not known is ignored, as clients send more."""

    model_config = ConfigDict(strict=True, extra="ignore")


class NewUsers(Body):
    """Several users to make."""

    usernames: list[str] = Field(min_length=1, max_length=NAMES_AT_ONCE)
    admin: bool = False


class NewUser(Body):
    """One user to make; the name is in the path."""

    admin: bool = False


class UserChange(Body):
    """What to change of a user. Names can't be changed."""

    name: str | None = None
    admin: bool | None = None


class StartOptions(Body):
    """`user_options`: `default_url`, what the server opens with. Older clients send the options themselves."""

    model_config = ConfigDict(strict=True, extra="allow")

    user_options: dict[str, Any] | None = None
    display_name: str | None = Field(default=None, description="not kept: the name is shown")

    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {}) if self.user_options is None else self.user_options


class StopOptions(Body):
    """`remove`: forget a named server once it has stopped."""

    remove: bool = False


class Password(Body):
    """A name and a password of the machine, in place of a token."""

    username: str
    password: str = Field(repr=False)


class NewToken(Body):
    """A token to make. Without `scopes` it may do what its maker may; without `expires_in` it lasts longest."""

    note: str | None = Field(default=None, max_length=255)
    expires_in: int | None = Field(default=None, description="seconds")
    scopes: list[str] | None = Field(default=None, max_length=100)
    roles: list[str] | None = Field(default=None, max_length=100, description="not supported: name scopes")
    auth: Password | None = None


class ServerActivity(Body):
    """When a server was last used, ISO 8601."""

    last_activity: str


class Activity(Body):
    """When a user and their servers were last active, ISO 8601."""

    last_activity: str | None = None
    servers: dict[str, ServerActivity] | None = None


Model = TypeVar("Model", bound=Body)


def body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency: the request's body as `model`; an empty body is `{}`."""

    async def read(request: Request) -> Model:
        return checked(model, parsed(await _bytes(request)))

    return read


def documented(model: type[Body]) -> dict[str, Any]:
    """The same for the description of the API (`openapi_extra`)."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {"content": {"application/json": {"schema": _inlined(schema, definitions)}}, "required": False}
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    return [_inlined(value, definitions) for value in schema] if isinstance(schema, list) else schema


async def _bytes(request: Request) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isdecimal() and (len(said) > len(str(MOST_BYTES)) or int(said) > MOST_BYTES):
        raise ApiRequestTooLarge(limit=MOST_BYTES)
    read = b""
    try:
        async for chunk in request.stream():
            read += chunk
            if len(read) > MOST_BYTES:
                raise ApiRequestTooLarge(limit=MOST_BYTES)
    except ClientDisconnect:
        raise BadApiRequest(reason="it ended before its body was complete") from None
    return read


def parsed(raw: bytes) -> Any:
    """JSON, and none that a database or an answer could not hold: no NUL, no halves of characters, no NaN."""
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        raise BadApiRequest(reason="its body is not valid JSON in UTF-8") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise BadApiRequest(reason="its body contains the character NUL")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def checked(model: type[Model], value: Any) -> Model:
    """`value` as `model`; BadApiRequest names the first thing that is wrong, without repeating what was sent."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise BadApiRequest(reason="its body is not a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:80]
        raise BadApiRequest(reason=f'"{place}" is wrong: {first["msg"][0].lower() + first["msg"][1:]}') from None
