import contextlib

import httpx
import pytest

from tests.edge.stage import Stage


class Cast:
    """alice has a server and a session, bob too; `http` speaks to the edge."""

    def __init__(self, stage):
        self.stage = stage
        self.alice = stage.user("alice")
        self.bob = stage.user("bob")
        self.alice_port = stage.server(self.alice)
        self.bob_port = stage.server(self.bob)
        self.alice_cookie = stage.sign_in(self.alice)
        self.bob_cookie = stage.sign_in(self.bob)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{stage.port}", timeout=30)

    def as_alice(self, **more):
        return {"cookie": f"terakoya-session={self.alice_cookie}", "sec-fetch-site": "same-origin", **more}

    def as_bob(self, **more):
        return {"cookie": f"terakoya-session={self.bob_cookie}", "sec-fetch-site": "same-origin", **more}


@pytest.fixture
def stage(tmp_path_factory):
    """Makes stages that end with the test. Short paths, because Unix sockets allow no more than 107 characters."""
    with contextlib.ExitStack() as made:

        def make(settings="", edge="", database=""):
            one = Stage(tmp_path_factory.mktemp("e"), settings, edge, database)
            made.callback(one.down)
            return one

        yield make


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    """One stage with its people for the tests of a module that harm nobody."""
    one = Stage(tmp_path_factory.mktemp("e")).up()
    people = Cast(one)
    yield people
    people.http.close()
    one.down()
