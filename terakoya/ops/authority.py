"""terakoya's own certificate authority: made once, signs the certificate of the edge, renews it in time."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from terakoya.config import Config
from terakoya.errors import CertificateUnusable

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""Browsers refuse certificates that are good for longer."""

BACKDATED = dt.timedelta(days=1)
"""For visitors whose clock is slow."""


def folder(config: Config) -> Path:
    """Where the keys are."""
    return private_folder(config.storage.state / "authority")


def public_path(config: Config) -> Path:
    """The authority's certificate, for people to import."""
    return config.storage.state / "authority.pem"


def certificate(config: Config) -> x509.Certificate:
    """The authority's certificate; the authority is made if there is none."""
    place = folder(config)
    pem = place / "authority.pem"
    if not (pem.exists() and (place / "authority.key").exists()):
        _make_authority(config, place)
    if not public_path(config).exists():
        write(public_path(config), pem.read_bytes(), 0o644)
    return x509.load_pem_x509_certificate(pem.read_bytes())


def _make_authority(config: Config, place: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"terakoya authority of {socket.gethostname()}"[:64])
    builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = builder.sign(key, hashes.SHA256())
    write(place / "authority.key", _pem(key))
    write(place / "authority.pem", made.public_bytes(serialization.Encoding.PEM), 0o644)
    write(public_path(config), made.public_bytes(serialization.Encoding.PEM), 0o644)


def due(config: Config, days: int) -> bool:
    """Whether the edge's certificate is missing, has fewer days left, or lacks a name by which it is reached."""
    place = folder(config)
    try:
        found = x509.load_pem_x509_certificates((place / "server.pem").read_bytes())[0]
        authority = certificate(config)
        found.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return True
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = found.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return left < dt.timedelta(days=days) or not set(names_of(config)) <= set(names)


def server_pair(config: Config, days: int) -> tuple[Path, Path]:
    """Paths of the edge's chain and key, made anew if that is due."""
    place = folder(config)
    pem, key_path = place / "server.pem", place / "server.key"
    if due(config, days) or not key_path.exists():
        authority = certificate(config)
        signing = serialization.load_pem_private_key((place / "authority.key").read_bytes(), password=None)
        if not isinstance(signing, ec.EllipticCurvePrivateKey):
            raise CertificateUnusable(path=place / "authority.key", reason="it is not a key that terakoya made")
        key = ec.generate_private_key(ec.SECP256R1())
        made = _server_certificate(config, key, authority, signing)
        write(key_path, _pem(key))
        write(pem, made.public_bytes(serialization.Encoding.PEM) + (place / "authority.pem").read_bytes(), 0o644)
    return pem, key_path


def _server_certificate(
    config: Config, key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, signing: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    host = urlsplit(config.public_url).hostname or "localhost"
    builder = _builder(_name(host[:64]), authority.subject, key.public_key(), SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName(names_of(config)), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signing, hashes.SHA256())


def names_of(config: Config) -> list[x509.GeneralName]:
    """Every name and address by which a browser may reach the edge."""
    texts = {"localhost", "127.0.0.1", "::1", urlsplit(config.public_url).hostname or "", socket.gethostname()}
    if config.site.user_domain:
        texts |= {config.site.user_domain, config.site.user_domain.removeprefix("*.")}
    if config.host in {"0.0.0.0", "::"}:  # noqa: S104 compared, not bound
        families = {socket.AF_INET, socket.AF_INET6}
        for addresses in psutil.net_if_addrs().values():
            texts |= {found.address for found in addresses if found.family in families and "%" not in found.address}
    else:
        texts.add(config.host)
    return [_general(text) for text in sorted(texts - {""})]


def _general(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - BACKDATED)
    return builder.not_valid_after(now + dt.timedelta(days=days) - BACKDATED)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write(path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] = (-1, -1)) -> None:
    """Replace a file at once; never through a link that somebody else put there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        os.fchmod(fd, mode)
        if os.geteuid() == 0:
            os.fchown(fd, *owner)
        file.flush()
        os.fsync(fd)
    fresh.replace(path)


def private_folder(path: Path) -> Path:
    """`path`, made if missing; CertificateUnusable if somebody else could look into it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise CertificateUnusable(path=path, reason="this folder must be a real one that only its owner may open")
    return path
