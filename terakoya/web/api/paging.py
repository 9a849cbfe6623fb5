"""Pages of lists: a bare list for old clients, `{"items", "_pagination"}` for those that ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Query
from starlette.requests import Request

PAGED = "application/jupyterhub-pagination+json"
MOST = 200
USUAL = 50
FURTHEST = 2**31 - 1
"""Databases do not count further."""


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for."""

    offset: int
    limit: int
    wrapped: bool

    def answer(self, request: Request, items: list[dict[str, Any]], total: int) -> Any:
        """The list as its asker wants it."""
        if not self.wrapped:
            return items
        place: dict[str, Any] = {"offset": self.offset, "limit": self.limit, "total": total, "next": None}
        following = self.offset + self.limit
        if following < total:
            url = request.url.include_query_params(offset=following, limit=self.limit)
            place["next"] = {"offset": following, "limit": self.limit, "url": str(url)}
        return {"items": items, "_pagination": place}


def page(
    offset: Annotated[int, Query(description="how many to skip")] = 0,
    limit: Annotated[int | None, Query(description=f"how many at most; never more than {MOST}")] = None,
    accept: Annotated[str, Header()] = "",
) -> Page:
    """A dependency. As in the ecosystem a limit out of bounds is brought within them."""
    wrapped = PAGED in accept
    limit = (USUAL if wrapped else MOST) if limit is None else limit
    return Page(min(abs(offset), FURTHEST), max(1, min(abs(limit), MOST)), wrapped)
