"""A small school without root: the real pages on a real database, with a fake machine below them."""

import dataclasses
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import delete

from terakoya import configfile
from terakoya.accounts import entry, users
from terakoya.accounts.providers.base import Answer
from terakoya.backends.fake import FakeBackend
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.db.models import Audit, Server, Session
from terakoya.errors import LauncherUnavailable
from terakoya.servers.runner import Runner
from terakoya.web.app import build

PEOPLE = {
    "taro": ("Terada Taro", ["taro", "teachers"]),
    "hanako": ("Hanada Hanako", ["hanako", "teachers", "students"]),
    "alice": ("Alice", ["alice", "students"]),
    "bob": ("Bob", ["bob", "students"]),
    "mallory": ("Mallory", ["mallory"]),
    "kenji": ("", ["kenji", "students"]),
    "yuki": ("Yuki O.", ["yuki", "students"]),
    "emil": ("Emil Å.", ["emil"]),
}


LOG = "Traceback (most recent call last):\n  ...\nOSError: [Errno 28] No space left on device"


@dataclass
class Machine:
    """Its accounts, as the launcher tells of them. A password is the name backwards."""

    accounts_known: dict = field(default_factory=lambda: dict(PEOPLE))
    away: bool = False
    expired: set = field(default_factory=set)

    async def accounts(self):
        self._there()
        return [{"name": n, "uid": 1000, "full_name": f, "groups": g} for n, (f, g) in self.accounts_known.items()]

    async def account(self, name):
        self._there()
        return {"exists": name in self.accounts_known}

    async def authenticate(self, name, password, address, new_password=None):
        if self.away:
            return Answer("unavailable", message="the launcher does not answer")
        if name not in self.accounts_known or password != name[::-1]:
            return Answer("denied")
        groups = self.accounts_known[name][1]
        if name in self.expired and new_password is None:
            return Answer("must_change", os_name=name, groups=groups)
        if new_password is not None and len(new_password) < 8:
            return Answer("refused_new_password", os_name=name, groups=groups, message="it is too short")
        return Answer("ok", os_name=name, groups=groups)

    def _there(self):
        if self.away:
            raise LauncherUnavailable


@dataclass
class Place:
    app: object
    db: Database
    machine: Machine
    backend: FakeBackend
    config: object

    @property
    def hub(self):
        return self.app.state.hub


def make_config(folder: Path, text: str = "", **site):
    file = folder / "terakoya.toml"
    folders = "".join(f'{name} = "{folder / name}"\n' for name in ("state", "runtime", "logs"))
    file.write_text(f"{text}\n[storage]\n{folders}")
    config = configfile.load(file, personal=False)
    return dataclasses.replace(config, site=dataclasses.replace(config.site, **site))


def make_place(folder: Path, db: Database | None = None, *, set_up: bool = True, **site) -> Place:
    """taro administers, everybody may enter; nobody has signed in yet."""
    config = make_config(folder, **site)
    if db is None:
        config.storage.state.mkdir(exist_ok=True)
        db = Database(config.database_url)
        migrate.upgrade(db)
    machine, backend = Machine(), FakeBackend()
    app = build(config, db, machine, backend, Runner(db, backend, config), machine)
    if set_up:
        entry.set_up(db, "taro", entry.Rule(everybody=True))
        users.add(db, "alice")
    return Place(app, db, machine, backend, config)


def fill(db: Database, count: int) -> None:
    """Many users, some with servers in every state, for looking at and for measuring."""
    dice, now = random.Random(7), time.time()
    for name in ("hanako", "bob", "kenji", "yuki"):
        users.add(db, name, admin=name == "hanako")
    with db.session() as session:
        session.add_all(
            users.User(name=f"student{n:04}", name_key=f"student{n:04}", os_name=f"student{n:04}", created_at=now)
            for n in range(count)
        )
    everybody = [user for start in range(0, count + 20, 100) for user in users.find(db, offset=start)[0]]
    states = ["running"] * 6 + ["stopped"] * 3 + ["starting", "stopping", "failed"]
    with db.session() as session:
        session.execute(delete(Server))
        for n, user in enumerate(everybody):
            if user.name == "taro" or dice.random() < 0.2:
                continue
            state = states[n] if n < len(states) else dice.choice(states)
            up = state in {"running", "starting", "stopping"}
            session.add(
                Server(
                    user_id=user.id, name="", state=state, wish="stopped", key=f"k{n}", secret="s",
                    address="127.0.0.1:9" if state == "running" else "",
                    changed_at=now - dice.random() * 90000, started_at=now - dice.random() * 90000,
                    last_activity=now - dice.random() * 7000, kernels=dice.randint(1, 3) if up else 0,
                    kernels_busy=dice.randint(0, 1) if up else 0, cpu=dice.random() * 1.2 if up else 0,
                    memory=int(dice.random() * 2e9) if up else 0,
                    reason="The home folder is full." if state == "failed" else "",
                    detail=LOG if state == "failed" else "",
                )
            )  # fmt: skip
        alice = next(user for user in everybody if user.name == "alice")
        session.add(
            Server(user_id=alice.id, name="thesis", state="failed", reason="The home folder is full.", detail="x")
        )
        session.add(
            Audit(
                actor="taro",
                action="server.visit",
                target="alice",
                address="192.0.2.7",
                at=now - 4000,
                detail={"server": ""},
            )
        )
        agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Safari/604.1"
        for host in (alice.id, everybody[0].id):
            session.add(Session(hash=dice.randbytes(32), user_id=host, expires_at=now + 9999, last_seen=now - 8000,
                                user_agent=agent, address="192.0.2.7"))  # fmt: skip
