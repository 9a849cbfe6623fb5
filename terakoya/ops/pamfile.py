"""The PAM service file, so that passwords are checked by this machine's own rules."""

from __future__ import annotations

from pathlib import Path

SERVICES = Path("/etc/pam.d")
OWN = "terakoya"

DEBIAN = """\
#%PAM-1.0
# Made by terakoya once; change it as you like, it is never overwritten.
@include common-auth
account    required   pam_nologin.so
@include common-account
@include common-password
session    optional   pam_loginuid.so
session    required   pam_limits.so
session    optional   pam_env.so envfile=/etc/default/locale
@include common-session
"""

FEDORA = """\
#%PAM-1.0
# Made by terakoya once; change it as you like, it is never overwritten.
auth       substack   system-auth
account    required   pam_nologin.so
account    include    system-auth
password   include    system-auth
session    optional   pam_loginuid.so
session    include    system-auth
"""


def ensure(services: Path = SERVICES) -> bool:
    """Write the file if there is none and the machine's kind is known; says whether there is one now."""
    path = services / OWN
    if path.exists():
        return True
    text = DEBIAN if (services / "common-auth").exists() else FEDORA if (services / "system-auth").exists() else ""
    if text:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    return bool(text)


def used(service: str, services: Path = SERVICES) -> str:
    """The service that passwords are checked by: the configured one, or `login` where it has no file."""
    return service if (services / service).exists() else "login"
