"""What happened: who did what to whom, the newest first."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from terakoya.accounts import audit
from terakoya.accounts.permissions import may
from terakoya.errors import NotAllowed
from terakoya.web.render import page
from terakoya.web.state import hub
from terakoya.web.visitor import Administrator

router = APIRouter()

PAGE_SIZE = 100
LARGEST_ID = 2**62


@router.get("/hub/admin/audit")
def show(
    request: Request, who: Administrator, actor: str = "", target: str = "", before: int | None = None
) -> Response:
    if not may(who, "read audit"):
        raise NotAllowed(action="read what happened")
    seen = {"actor": actor[:64].replace("\0", ""), "target": target[:64].replace("\0", "")}
    start = None if before is None else min(max(before, 0), LARGEST_ID)
    db, limit = hub(request).db, PAGE_SIZE
    rows = audit.search(db, actor=seen["actor"], target=seen["target"], before=start, limit=limit)
    older = rows[-1].id if len(rows) == PAGE_SIZE else None
    return page(request, "audit.html", rows=rows, seen=seen, older=older)
