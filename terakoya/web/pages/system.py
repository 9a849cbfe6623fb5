"""The start page's redirect, health, metrics, and the pages' own files."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from terakoya.accounts.permissions import may
from terakoya.errors import AdministratorsOnly
from terakoya.web.metrics import exposition
from terakoya.web.render import redirect
from terakoya.web.state import hub
from terakoya.web.visitor import visitor

router = APIRouter()


@router.get("/hub/")
@router.get("/hub")
def start(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return redirect(("/hub/home" if visitor(request) else "/hub/login") + query, 302)


@router.get("/hub/health")
def health(request: Request) -> Response:
    with hub(request).db.reading() as session:
        session.execute(text("SELECT 1"))
    return JSONResponse({"status": "ok"})


@router.get("/hub/metrics")
def metrics(request: Request) -> Response:
    """For administrators, or a token of one with the scope `read:hub`."""
    who = visitor(request)
    if who is None or not may(who, "read site"):
        raise AdministratorsOnly
    return Response(exposition(hub(request).db), media_type=CONTENT_TYPE_LATEST)


@router.get("/hub/logo")
def logo(request: Request) -> Response:
    return redirect(hub(request).statics.url("logo.svg"), 302)


@router.get("/hub/static/{digest}/{name:path}")
def static(request: Request, digest: str, name: str) -> Response:
    file = hub(request).statics.files.get(name)
    if file is None or file.digest != digest:
        raise HTTPException(404)
    return hub(request).statics.respond(request, name)


@router.get("/hub/lab-static/{version}/{name:path}")
def lab_static(request: Request, version: str, name: str) -> Response:
    return hub(request).lab_static.respond(request, version, name)
