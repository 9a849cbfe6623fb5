"""Settling in the user's home, now that the process is the user: folder, environment, Python's user packages."""

from __future__ import annotations

import importlib
import locale
import os
import site
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyterlab_server import settings_utils, translation_utils, translations_handler

from terakoya.lab.trouble import CannotServeError


def settle(spec: dict[str, Any]) -> None:
    """Enter the home and undo what was remembered about another user's before the fork."""
    _enter(spec["home"])
    Path(spec["runtime_dir"]).mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget_root()
    _speak()
    time.tzset()
    _use_own_packages()


def _forget_root() -> None:
    """What modules worked out while they were imported, as root and without a home."""
    tempfile.tempdir = None
    if trash := sys.modules.get("send2trash.plat_other"):
        importlib.reload(trash)


def _enter(home: str) -> None:
    try:
        os.chdir(home)
    except FileNotFoundError:
        raise CannotServeError(f"Your home folder {home} does not exist on this machine.") from None
    except NotADirectoryError:
        raise CannotServeError(f"Your home {home} is not a folder.") from None
    except PermissionError:
        raise CannotServeError(f"You may not enter your home folder {home}.") from None
    except OSError as error:
        raise CannotServeError(f"Your home folder {home} can't be opened: {error.strerror}.") from None
    if not os.access(".", os.R_OK | os.X_OK):
        raise CannotServeError(f"You may not read your home folder {home}.")


def _speak() -> None:
    """Take over LANG and the like; JupyterLab keeps them from when it was imported."""
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    language = locale.getlocale()[0] or "en"
    for module in (settings_utils, translation_utils, translations_handler):
        module.SYS_LOCALE = language


def _use_own_packages() -> None:
    """Packages that the user installed with `pip install --user` count where plain Python would count them.

    The fork server runs isolated, so Python's own rule was not applied when it started.
    """
    site.ENABLE_USER_SITE = _own_packages_count()
    site.USER_BASE = site.USER_SITE = None
    if site.ENABLE_USER_SITE:
        site.addusersitepackages(set(sys.path))


def _own_packages_count() -> bool:
    if os.environ.get("PYTHONNOUSERSITE"):
        return False
    if sys.prefix == sys.base_prefix:
        return True
    with suppress(OSError):
        lines = Path(sys.prefix, "pyvenv.cfg").read_text().lower().splitlines()
        pairs = (line.partition("=") for line in lines)
        return any(key.strip() == "include-system-site-packages" and value.strip() == "true" for key, _, value in pairs)
    return True
