"""What may be asked of the launcher, and how each field must look.

One JSON object per line over a Unix socket, one request per connection. An answer is one or more JSON lines; a refused
request is answered by `{"error": CODE, "message": TEXT}`. Everything here is checked before anything is done: the
launcher is root, and who asks is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

Verb = Literal["authenticate", "account", "accounts", "start", "stop", "list", "ping"]
Check = Callable[[Any], Any]
"""Gives the value back, or raises ValueError with what was expected."""

LONGEST_LINE = 256 * 1024
"""Bytes. Enough for the longest password that is to be refused politely."""
LONGEST_START = 64 * 1024
"""Bytes of a start request: it travels on to the fork server as one packet."""

_KEY = re.compile(r"[A-Za-z0-9-]{1,64}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SEGMENT = r"(?!\.{1,2}/)[A-Za-z0-9_.~%@!$&'()*+,;=:-]+/"
_BASE_URL = re.compile(rf"/(?:{_SEGMENT})*user/{_SEGMENT}(?:{_SEGMENT})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadRequestError(Exception):
    """A request that is not answered. `code` is for programs, the text for the log."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a string")  # noqa: TRY004 every check fails in the same way
    return value


def _text(longest: int) -> Check:
    def check(value: Any) -> str:
        text = _string(value)
        if len(text) > longest or _CONTROL.search(text) or not text.isprintable():
            raise ValueError(f"a line of at most {longest} characters")
        return text

    return check


def _like(pattern: re.Pattern[str], meaning: str) -> Check:
    def check(value: Any) -> str:
        if not pattern.fullmatch(_string(value)):
            raise ValueError(meaning)
        return str(value)

    return check


def _seconds(most: float) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise ValueError(f"a number of seconds up to {most:g}")
        return float(value)

    return check


def _path(value: Any) -> str:
    path = str(_text(2048)(value))
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("a path that starts with one slash")
    return path


def _table(key: Check, content: Check) -> Check:
    def check(value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError("an object")  # noqa: TRY004 as above
        return {key(name): content(text) for name, text in value.items()}

    return check


def _environment_value(value: Any) -> str:
    text = _string(value)
    if "\0" in text:
        raise ValueError("text without NUL")
    text.encode()  # UnicodeEncodeError is a ValueError
    return text


# Names and passwords to sign in with are any string at all: what is wrong with them is for PAM's side to refuse,
# in the same way as every other wrong one.
REQUIRED: Mapping[str, Mapping[str, Check]] = {
    "authenticate": {"name": _string, "password": _string},
    "account": {"name": _string},
    "accounts": {},
    "start": {
        "key": _like(_KEY, 'at most 64 letters, digits and "-"'),
        "os_name": _text(256),
        "user_name": _text(256),
        "base_url": _like(_BASE_URL, "/user/NAME/ or /user/NAME/SERVER/"),
        "secret": _like(_SECRET, '16 to 256 letters, digits, "-" and "_"'),
    },
    "stop": {"key": _like(_KEY, 'at most 64 letters, digits and "-"')},
    "list": {},
    "ping": {},
}
OPTIONAL: Mapping[str, Mapping[str, tuple[Check, Any]]] = {
    "authenticate": {
        "new_password": (lambda value: value if value is None else _string(value), None),
        "address": (_text(256), ""),
    },
    "start": {
        "default_url": (_path, "/lab"),
        "page_config": (_table(_text(128), _text(4096)), {}),
        "environment": (_table(_like(_VARIABLE, "a name of a variable"), _environment_value), {}),
        "timeout": (_seconds(3600), 60.0),
    },
    "stop": {"grace": (_seconds(600), 10.0)},
}


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The checked fields of a request, with "verb" and every optional field filled in; or BadRequestError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequestError("bad_request", "not a line of JSON") from None
    if not isinstance(message, dict):
        raise BadRequestError("bad_request", "not an object")
    verb = message.pop("verb", None)
    if not isinstance(verb, str) or verb not in get_args(Verb):
        raise BadRequestError("unknown_verb", f"no such verb; there are {', '.join(get_args(Verb))}")
    if verb == "start" and len(line) > LONGEST_START:
        raise BadRequestError("bad_request", f"longer than {LONGEST_START} bytes")
    return {"verb": verb} | _checked(verb, message)


def _checked(verb: str, message: dict[str, Any]) -> dict[str, Any]:
    required, optional = REQUIRED[verb], OPTIONAL.get(verb, {})
    if unknown := message.keys() - required.keys() - optional.keys():
        raise BadRequestError("bad_request", f"{verb}: no such field: {min(unknown)[:40]!r}")
    fields = {name: default for name, (_, default) in optional.items() if name not in message}
    for name, check in {**required, **{name: check for name, (check, _) in optional.items()}}.items():
        if name in fields:
            continue
        if name not in message:
            raise BadRequestError("bad_request", f"{verb}: {name} is missing")
        try:
            fields[name] = check(message[name])
        except ValueError as error:
            raise BadRequestError("bad_request", f"{verb}: {name} must be {error}") from None
    return fields
