"""The pages' own CSS, JavaScript and pictures: read once, addressed by their content, cached for good."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import brotli
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"
COMPRESSIBLE = {".css", ".js", ".svg", ".txt", ".json", ".html", ".map"}


@dataclass(frozen=True)
class StaticFile:
    """One file and its compressed forms."""

    digest: str
    media_type: str
    bodies: dict[str, bytes]
    """By content coding; "identity" is always there."""


class Statics:
    """All files below a folder, in memory: they are few and small."""

    def __init__(self, folder: Path = STATIC) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): _read(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def url(self, name: str) -> str:
        """Where the browser finds a file; another content has another address."""
        return f"/hub/static/{self.files[name].digest}/{name}"

    def respond(self, request: Request, name: str) -> Response:
        file = self.files.get(name)
        if file is None:
            raise HTTPException(404)
        coding = best_coding(request.headers.get("accept-encoding", ""), file.bodies)
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if coding != "identity":
            headers["Content-Encoding"] = coding
        return Response(file.bodies[coding], media_type=file.media_type, headers=headers)


def best_coding(header: str, offered: dict[str, bytes] | set[str]) -> str:
    """The densest content coding that an Accept-Encoding header takes, out of those `offered`."""
    taken = set()
    for part in header.lower().split(","):
        coding, _, parameter = part.strip().partition(";")
        if parameter.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            taken.add(coding.strip())
    return next((coding for coding in ("br", "gzip") if coding in taken and coding in offered), "identity")


def media_type(path: Path) -> str:
    """The type browsers expect; the machine's own table of types may be odd or missing."""
    known = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
    fonts = {".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".json": "application/json"}
    return (
        known.get(path.suffix)
        or fonts.get(path.suffix)
        or mimetypes.guess_type(path.name)[0]
        or "application/octet-stream"
    )


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    bodies = {"identity": content}
    if path.suffix in COMPRESSIBLE:
        bodies["br"] = brotli.compress(content)
        bodies["gzip"] = gzip.compress(content, 9, mtime=0)
    return StaticFile(hashlib.sha256(content).hexdigest()[:12], media_type(path), bodies)
