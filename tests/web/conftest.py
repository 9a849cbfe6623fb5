"""The pages as they are served, on a real database; accounts and servers are a fake machine's."""

import contextlib
import socket
import threading

import httpx
import pytest
import uvicorn

from terakoya.accounts import signin
from terakoya.web import opening
from tests.web.site import make_place


@contextlib.asynccontextmanager
async def no_loops(_app):
    yield


@contextlib.contextmanager
def serving(app):
    """The application on a port of its own; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, ws="none", log_config=None, server_header=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        # The socket listens already: a request that comes too early waits.
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


class Browser(httpx.Client):
    """Says what browsers say: that it wants pages, and that it sends forms from the hub's own pages."""

    def __init__(self, url, **headers):
        usual = {"accept": "text/html", "sec-fetch-site": "same-origin", "accept-language": "en"}
        super().__init__(base_url=url, timeout=30, headers=usual | headers)

    def sign_in(self, name, wanted="/hub/home"):
        answer = self.post("/hub/login", params={"next": wanted}, data={"username": name, "password": name[::-1]})
        assert answer.status_code == 303, answer.text
        return answer


class Stage:
    """A place that is served, and browsers for it."""

    def __init__(self, place, url):
        self.place, self.url, self.browsers = place, url, []

    def browser(self, name="", **headers):
        made = Browser(self.url, **headers)
        self.browsers.append(made)
        if name:
            made.sign_in(name)
        return made


@pytest.fixture
def stage_of(tmp_path, sqlite_db, monkeypatch):
    """Makes a stage with settings of [site]."""
    monkeypatch.setattr(signin, "FAILURE_SECONDS", 0.0)
    monkeypatch.setattr(opening, "PATIENCE", 30.0)
    with contextlib.ExitStack() as stack:

        def make(*, set_up=True, **site):
            place = make_place(tmp_path, sqlite_db, set_up=set_up, **site)
            place.app.router.lifespan_context = no_loops
            stage = Stage(place, stack.enter_context(serving(place.app)))
            stack.callback(lambda: [browser.close() for browser in stage.browsers])
            return stage

        yield make


@pytest.fixture
def stage(stage_of):
    """taro administers, alice is a user, the others have accounts of the machine."""
    return stage_of()
