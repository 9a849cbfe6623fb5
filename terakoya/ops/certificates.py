"""The certificate that the edge shows: the one from the settings, or one of terakoya's own authority.

Certificate and key reach Envoy as one file, which is exchanged as a whole, so that it never sees half of a renewal;
what does not fit together is left alone until it does. Runs as root
where there is one: keys may be readable by root only.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from terakoya.config import Config
from terakoya.edge.envoy import tls_path
from terakoya.errors import CertificateUnusable
from terakoya.ops import authority

LOOK_SECONDS = 5.0
RENEW_DAYS = 30


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key, PEM."""

    chain: bytes
    key: bytes

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.chain)[0]


def load(chain_path: Path, key_path: Path) -> Pair:
    """A pair from files; CertificateUnusable if it is none."""
    path = chain_path
    try:
        pair = Pair(chain_path.read_bytes(), (path := key_path).read_bytes())
        path = chain_path
        shown = pair.certificate.public_key()
        path = key_path
        key = serialization.load_pem_private_key(pair.key, password=None)
    except OSError as error:
        raise CertificateUnusable(path=path, reason=error.strerror) from error
    except (ValueError, TypeError) as error:
        raise CertificateUnusable(path=path, reason="it is not PEM, or it is encrypted") from error
    if _bytes(key.public_key()) != _bytes(shown):
        raise CertificateUnusable(path=chain_path, reason=f"it does not belong to the key {key_path}")
    return pair


def _bytes(key: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    made: bytes = key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]
    return made


class Certificates:
    """Keeps the edge's copy up to date. `publish` before the edge starts, `refresh` every now and then."""

    def __init__(self, config: Config, uid: int = -1, gid: int = -1) -> None:
        """`uid` and `gid`: the account of the edge, which alone may read the copy."""
        self.config = config
        self.owner = (uid, gid)
        self._looked = 0.0
        self._seen: object = None
        self._complained = ""

    def publish(self) -> None:
        """Make the edge's copy; CertificateUnusable if there is nothing to show."""
        if self.config.tls:
            self._seen = self._state()
            self._looked = time.monotonic()
            self._give(self._pair())
            if not self.config.edge.certificate:
                self._seen = self._state()  # what was due was just done

    def refresh(self) -> str:
        """Look whether something changed, at most every few seconds; a sentence if there is something to tell."""
        if not self.config.tls or time.monotonic() - self._looked < LOOK_SECONDS:
            return ""
        self._looked = time.monotonic()
        try:
            state = self._state()
            if state == self._seen:
                return ""
            pair = self._pair()
        except CertificateUnusable as error:
            # Probably half of a renewal. The edge goes on with what it has; this is said once.
            repeated, self._complained = self._complained == error.what, error.what
            return "" if repeated else f"{error.what} The one before stays in use."
        self._seen, self._complained = state, ""
        self._give(pair)
        return f"A new certificate is in use, good until {pair.certificate.not_valid_after_utc:%Y-%m-%d}."

    def _state(self) -> object:
        """Equal as long as nothing needs doing."""
        if not self.config.edge.certificate:
            return authority.due(self.config, RENEW_DAYS)
        found = []
        for path in (self.config.edge.certificate, self.config.edge.certificate_key):
            try:
                facts = Path(path).stat()
            except OSError as error:
                raise CertificateUnusable(path=path, reason=error.strerror) from error
            found.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
        return found

    def _pair(self) -> Pair:
        edge = self.config.edge
        if edge.certificate:
            return load(Path(edge.certificate), Path(edge.certificate_key))
        return load(*authority.server_pair(self.config, RENEW_DAYS))

    def _give(self, pair: Pair) -> None:
        certificate = {
            "certificate_chain": {"inline_string": pair.chain.decode()},
            "private_key": {"inline_string": pair.key.decode()},
        }
        kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        secret = {"@type": kind, "name": "edge", "tls_certificate": certificate}
        authority.write(tls_path(self.config), json.dumps({"resources": [secret]}).encode(), owner=self.owner)


def ca_fingerprint(config: Config) -> str:
    """SHA-256 of terakoya's own authority, as browsers show it."""
    digest = authority.certificate(config).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()
