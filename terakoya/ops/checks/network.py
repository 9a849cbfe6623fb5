"""The address, its certificate and its name."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from urllib.parse import urlsplit

from cryptography import x509

from terakoya.config import Config
from terakoya.ops import ports, ready
from terakoya.ops.checks.base import Facts, Finding, fail, ok, warn

SOON_DAYS = 14


def port(facts: Facts) -> Finding:
    """Free while nothing runs, ours while it does."""
    if facts.supervisor is None:
        ports.check(facts.config)
        return ok(f"{facts.config.edge.listen} is free")
    return ok(f"{facts.config.edge.listen} is ours")


def certificate(facts: Facts) -> Finding:
    """What browsers are shown, or will be."""
    config = facts.config
    if not config.tls:
        return ok("not used: plain HTTP" + (" on loopback" if config.on_loopback else " for a proxy that adds TLS"))
    found = _shown(config) if facts.supervisor else _configured(config)
    if found is None:
        return ok("made at the first start by terakoya's own authority")
    days = (found.not_valid_after_utc - dt.datetime.now(dt.UTC)).days
    until = f"good for {days} more days"
    cure = "Put a new one into the same files; it is taken up without a restart."
    if days < 0:
        return fail(f"it ran out {-days} days ago", cure)
    return warn(until, cure) if days < SOON_DAYS and config.edge.certificate else ok(until)


def _shown(config: Config) -> x509.Certificate:
    host = urlsplit(config.public_url).hostname or ""
    with ready.dial(config, host, 5) as connection:
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    return x509.load_der_x509_certificate(shown or b"")


def _configured(config: Config) -> x509.Certificate | None:
    if not config.edge.certificate:
        return None
    with open(config.edge.certificate, "rb") as file:  # noqa: PTH123 it is text in the settings
        return x509.load_pem_x509_certificates(file.read())[0]


def name(facts: Facts) -> Finding:
    """Whether the names that browsers use lead anywhere."""
    host = urlsplit(facts.config.public_url).hostname or ""
    names = [host]
    if facts.config.site.user_domain:
        names.append("terakoya-check" + facts.config.site.user_domain.removeprefix("*"))
    # Browsers resolve names under localhost themselves.
    unknown = [text for text in names if not text.endswith("localhost") and not _resolves(text)]
    if unknown:
        cure = "Add a DNS entry for it (with user_domain also the wildcard), or mend `url` under [site]."
        return fail(f"{' and '.join(unknown)} can't be found", cure)
    return ok(" and ".join(names))


def _resolves(text: str) -> bool:
    try:
        return bool(socket.getaddrinfo(text, None))
    except OSError:
        return False
