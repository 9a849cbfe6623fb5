"""Why a server could not start, in a sentence for its user."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from traitlets import TraitError


class CannotServeError(Exception):
    """The message is the sentence for the user."""


def reason(error: BaseException) -> str:
    """One sentence."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, CannotServeError):
            return str(cause)
        if isinstance(cause, TraitError):
            return f"A setting in your Jupyter configuration can't be used: {_one_line(cause)}"
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
