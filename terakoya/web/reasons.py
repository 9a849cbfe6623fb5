"""Reasons why a server is not there. The parts that start servers tell them in English; here visitors read their own.

A reason that matches none of these is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Translate = Callable[[str], str]


def _(text: str) -> str:
    """Mark a sentence for the catalogues."""
    return text


REASONS = (
    _("your home folder {home} does not exist on this machine"),
    _("your home {home} is not a folder"),
    _("you may not enter your home folder {home}"),
    _("you may not read your home folder {home}"),
    _("your home folder {home} can't be opened: {why}"),
    _("a setting in your Jupyter configuration can't be used: {why}"),
    _("jupyter ended itself while starting (exit status {code}); the log says why"),
    _("jupyter could not start: {why}"),
    _("notebook servers can't be started here"),
    _("it ended while starting, without saying why. Its log may tell"),
    _("it was not ready after {seconds} seconds"),
    _("it could not be prepared: {why}"),
    _("it could not be prepared"),
    _("it could not be started"),
    _("it was stopped while it started"),
    _("it was stopped meanwhile"),
    _("the part that starts servers keeps failing"),
    _("it was ended by {signal} while it started"),
    _("it ended while it started (exit code {code})"),
    _("it ended while it started"),
    _("it was ended by {signal}"),
    _("it ended by itself (exit code {code})"),
    _("it ended by itself"),
)
"""Templates; letter case at the beginning and a full stop do not count."""


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    made = "".join(re.escape(part) if n % 2 == 0 else f"(?P<{part}>.+?)" for n, part in enumerate(parts))
    return re.compile(rf"{made}\.?", re.IGNORECASE | re.DOTALL)


_PATTERNS = [(template, _pattern(template)) for template in REASONS]


def explain(reason: str, translate: Translate) -> str:
    """The reason as a sentence in the language of `translate`."""
    for template, pattern in _PATTERNS:
        found = pattern.fullmatch(reason)
        if found and translate(template) != template:
            return _sentence(translate(template).format(**found.groupdict()))
    return _sentence(translate(reason)) if reason else ""


def _sentence(clause: str) -> str:
    """A clause such as "the home folder is full" as a sentence of its own."""
    return clause[:1].upper() + clause[1:] + ("" if clause[-1:] in ".!?。…" else ".")
