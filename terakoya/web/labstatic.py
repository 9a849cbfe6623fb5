"""JupyterLab's front end, the same for all users: one address, compressed once, cached by browsers for good.

Every user's page names `/hub/lab-static/<version>/` as its source, also from an origin of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import sys
import tempfile
import threading
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

import brotli
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from terakoya.config import Config
from terakoya.web.labfirst import First
from terakoya.web.statics import COMPRESSIBLE, FOREVER, best_coding, media_type

log = logging.getLogger(__name__)

PREFIX = "/hub/lab-static/"
SHARED = {
    "Cache-Control": FOREVER,
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
    "Vary": "Accept-Encoding",
}
SMALL = 600
"""Bytes below which compressing gains nothing."""


def installed_version() -> str:
    """JupyterLab's version, or "" where it is not installed."""
    try:
        return version_of("jupyterlab")
    except PackageNotFoundError:
        return ""


class LabStatic:
    """The files of `source`; their compressed forms are kept below `cache` and in memory."""

    def __init__(self, cache: Path, source: Path | None = None, version: str | None = None) -> None:
        self.version = installed_version() if version is None else version
        self.source = source or Path(sys.prefix) / "share/jupyter/lab/static"
        self.cache = cache / self.version
        self.names = _names(self.source)
        self.quick: dict[str, bytes] = {}
        """gzip made while a browser waited, until the denser form is ready."""
        self.dense: dict[str, bytes] = {}
        self.first = First(_seed(self.source), self.cache / "first.json")

    @property
    def prefix(self) -> str:
        """The address of the files, with a slash at the end."""
        return f"{PREFIX}{self.version}/"

    def page_config(self, config: Config) -> dict[str, str]:
        """What JupyterLab's page is told, so that it loads from here; nothing where there are no such files.

        With an origin for every user it is still the hub's address, so that what the sign-in page fetched is used.
        """
        origin = config.public_url if config.site.user_domain else ""
        return {"fullStaticUrl": origin + self.prefix.rstrip("/")} if self.names else {}

    def ahead(self) -> list[str]:
        """Addresses of what every JupyterLab page loads first, for the sign-in page to fetch ahead."""
        return [self.prefix + name for name in self.first.names() if name.partition("?")[0] in self.names]

    def respond(self, request: Request, version: str, name: str) -> Response:
        """One file. A blocking function: it may read and compress."""
        if version != self.version or name not in self.names:
            raise HTTPException(404)
        self.first.asked(name + (f"?{request.url.query}" if request.url.query else ""))
        path = self.source / name
        coding, body = self._body(name, path, request.headers.get("accept-encoding", ""))
        tag = f'"{hashlib.sha256(f"{version}/{name}/{coding}".encode()).hexdigest()[:20]}"'
        headers = SHARED | {"ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if coding != "identity":
            headers["Content-Encoding"] = coding
        return Response(body, media_type=media_type(path), headers=headers)

    def _body(self, name: str, path: Path, accepted: str) -> tuple[str, bytes]:
        if path.suffix not in COMPRESSIBLE or path.stat().st_size < SMALL:
            return "identity", path.read_bytes()
        dense = self.dense.get(name) or self._read_dense(name)
        offered = {"gzip"} | ({"br"} if dense else set())
        coding = best_coding(accepted, offered)
        if coding == "br":
            return coding, dense
        if coding == "gzip":
            if name not in self.quick:
                self.quick[name] = gzip.compress(path.read_bytes(), 5, mtime=0)
            return coding, self.quick[name]
        return coding, path.read_bytes()

    def _read_dense(self, name: str) -> bytes:
        try:
            self.dense[name] = (self.cache / f"{name}.br").read_bytes()
        except OSError:
            return b""
        return self.dense[name]

    def compress_in_background(self) -> threading.Thread:
        """Make what is missing in `cache`, with the lowest priority, what is needed first first."""
        thread = threading.Thread(target=self._compress_all, name="lab-static", daemon=True)
        thread.start()
        return thread

    def _compress_all(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # on Linux: of this thread alone
        first = [address.removeprefix(self.prefix).partition("?")[0] for address in self.ahead()]
        others = sorted(self.names - set(first))
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            for name in [*first, *others]:
                self._compress(name)
        except OSError as error:
            log.warning("JupyterLab's files stay less compressed: %s", error)

    def _compress(self, name: str) -> None:
        path, target = self.source / name, self.cache / f"{name}.br"
        if path.suffix not in COMPRESSIBLE or path.stat().st_size < SMALL or target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        body = brotli.compress(path.read_bytes(), quality=11, lgwin=22)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(body)
        Path(file.name).replace(target)


def _names(source: Path) -> frozenset[str]:
    """The names that are served: what a page's template is made of stays inside."""
    return frozenset(
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.suffix not in {".html", ".map"}
    )


def _seed(source: Path) -> list[str]:
    """The page's main script, as the page's template names it, and the chunk with JupyterLab itself."""
    try:
        page = (source / "index.html").read_text(encoding="utf-8")
    except OSError:
        return []
    main = re.search(r'src="\{\{\s*page_config\.fullStaticUrl\s*\}\}/([^"]+)"', page)
    core = [f"{path.name}?v={path.name.split('.')[1]}" for path in source.glob("jlab_core.*.js")]
    return [main[1], *core] if main else []
