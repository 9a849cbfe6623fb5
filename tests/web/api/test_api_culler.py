"""The ecosystem's own idle culler, unmodified, in a process of its own."""

import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import update

from terakoya.db.models import Server
from terakoya.servers import life

pytest.importorskip("jupyterhub_idle_culler")

SCOPES = ("list:users", "read:users:activity", "read:servers", "delete:servers")


@contextmanager
def culler(place):
    """It works at once and then every few minutes; ended with the block."""
    token = place.key("taro", *SCOPES)["Authorization"].removeprefix("token ")
    url = f"{str(place.client.base_url).rstrip('/')}/hub/api"
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--url={url}", "--timeout=600"]
    process = subprocess.Popen(command, env={"JUPYTERHUB_API_TOKEN": token})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def test_it_stops_what_is_idle_and_leaves_what_is_not(place):
    taro = place.key("taro")
    for name in ("alice", "bob"):
        assert place.ask("POST", f"/users/{name}/server", taro).status_code == 201
    assert place.ask("POST", "/users/alice/servers/gpu", taro).status_code == 201
    bob = place.ask("GET", "/users/bob", taro).json()
    with place.db.session() as session:
        old = update(Server).values(last_activity=1.0, started_at=1.0)
        session.execute(old.where(Server.user_id == life.find(place.db, states=["running"])[0][0].user_id))
    until = time.monotonic() + 60
    with culler(place) as process:
        while place.ask("GET", "/users/alice", taro).json()["servers"]:
            assert time.monotonic() < until
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended: {process.wait(0.1)}")
    assert place.ask("GET", "/users/bob", taro).json() == bob
