"""The tables. Times are seconds since 1970 (UTC) as floats, so that the gate can compare them in plain SQL."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

NEVER_AGAIN = {"sqlite_autoincrement": True}
"""SQLite would give the number of a removed row to the next one: a late word about the old would be believed of it."""


class Base(DeclarativeBase):
    """Every constraint has a name, so that a migration can speak of it."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, list[str]: JSON, bytes: LargeBinary}  # noqa: RUF012 SQLAlchemy reads it as such


class User(Base):
    """An account. `id` and `os_name` never change; `name` is a label, `name_key` its NFKC case-folded form."""

    __tablename__ = "users"
    __table_args__ = NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(64), unique=True)
    os_name: Mapped[str] = mapped_column(String(64), index=True)
    admin: Mapped[bool] = mapped_column(default=False)
    invited: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Added by an administrator: may enter whatever the rule for entering says."""
    disabled_at: Mapped[float | None]
    created_at: Mapped[float] = mapped_column(default=time.time)
    last_activity: Mapped[float | None] = mapped_column(index=True)
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict)

    servers: Mapped[list[Server]] = relationship(back_populates="user", passive_deletes=True)


class Session(Base):
    """A signed-in browser. Only the SHA-256 of the cookie is stored.

    With a domain for every user, each origin has a session of its own: `parent_id` names the hub's session it came
    from (and dies with it), `host` the origin it is good for.
    """

    __tablename__ = "sessions"
    __table_args__ = NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[float] = mapped_column(default=time.time)
    last_seen: Mapped[float] = mapped_column(default=time.time)
    expires_at: Mapped[float] = mapped_column(index=True)
    user_agent: Mapped[str] = mapped_column(String(255), default="")
    address: Mapped[str] = mapped_column(String(64), default="")


class Token(Base):
    """A key for scripts. Only its SHA-256 is stored."""

    __tablename__ = "tokens"
    __table_args__ = NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    note: Mapped[str] = mapped_column(String(255), default="")
    scopes: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[float] = mapped_column(default=time.time)
    last_activity: Mapped[float | None]
    expires_at: Mapped[float | None] = mapped_column(index=True)


class Code(Base):
    """Something that opens a door once: a sign-in link, the hand-over of a session to a user's own origin."""

    __tablename__ = "codes"

    hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    expires_at: Mapped[float] = mapped_column(index=True)


class Server(Base):
    """A user's server. `state` is what it is, `wish` what it should be; see `terakoya.servers.life`."""

    __tablename__ = "servers"
    __table_args__ = (UniqueConstraint("user_id", "name", name="uq_servers_user_id"), NEVER_AGAIN)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[str] = mapped_column(String(16), default="stopped", index=True)
    wish: Mapped[str] = mapped_column(String(16), default="stopped", index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    key: Mapped[str] = mapped_column(String(64), default="")
    claim_until: Mapped[float | None]
    """Until then somebody is at work on this start or stop; later anybody may take it over."""
    address: Mapped[str] = mapped_column(String(64), default="")
    secret: Mapped[str] = mapped_column(String(64), default="")
    changed_at: Mapped[float] = mapped_column(default=time.time)
    started_at: Mapped[float | None]
    last_activity: Mapped[float | None]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    kernels: Mapped[int] = mapped_column(default=0)
    kernels_busy: Mapped[int] = mapped_column(default=0)
    cpu: Mapped[float] = mapped_column(default=0.0)
    memory: Mapped[int] = mapped_column(BigInteger, default=0)

    user: Mapped[User] = relationship(back_populates="servers")


class Setting(Base):
    """What an administrator decided on a page, such as who may enter."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Audit(Base):
    """Who did what to whom, when and from where. Rows are only ever added."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_target", "target", "at"), NEVER_AGAIN)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float] = mapped_column(default=time.time, index=True)
    actor: Mapped[str] = mapped_column(String(64), default="")
    action: Mapped[str] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(String(64), default="")
    address: Mapped[str] = mapped_column(String(64), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
