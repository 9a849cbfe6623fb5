"""Why a server could not start, in a sentence for its user."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path

from jupyter_core.paths import jupyter_config_path
from traitlets import TraitError


class CannotServeError(Exception):
    """The message is the sentence for the user."""


def reason(error: BaseException) -> str:
    """One sentence: what is wrong and, where it can be known, in which file."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, CannotServeError):
            return str(cause)
        if isinstance(cause, TraitError):
            return f"A setting in your Jupyter configuration can't be used: {_one_line(cause)}"
        if isinstance(cause, json.JSONDecodeError) and (broken := _broken_file()):
            return f"Your Jupyter settings file {broken[0]} is not valid JSON: {_one_line(broken[1])}."
    if isinstance(causes[0], SystemExit):
        return f"Jupyter ended itself while starting (exit status {causes[0].code}); the log says why."
    return f"Jupyter could not start: {type(error).__name__}: {_one_line(error)}."


def detail(error: BaseException) -> str:
    """The traceback, for whoever mends it."""
    return "".join(traceback.format_exception(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _broken_file() -> tuple[Path, Exception] | None:
    """The first JSON file on Jupyter's configuration path that can't be read as one."""
    for folder in map(Path, jupyter_config_path()):
        for path in sorted([*folder.glob("*.json"), *folder.glob("*.d/*.json")]):
            try:
                json.loads(path.read_text())
            except (OSError, ValueError) as error:
                return path, error
    return None
