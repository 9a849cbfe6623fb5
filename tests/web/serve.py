"""`python -m tests.web.serve [--users 2000] [--fresh]`: the pages on a port of loopback, to look at while working.

Sign in as taro (administrator), alice, bob ...; a password is the name backwards. --fresh: the welcome page.
"""

import argparse
import socket
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from terakoya.accounts import codes
from tests.web.site import fill, make_place


@asynccontextmanager
async def _no_loops(app):
    app.state.hub.lab_static.compress_in_background()
    yield


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=120)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--domain", action="store_true", help="an origin for every user, below *.localhost")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a start takes")
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="terakoya-pages-"))
    domain = "*.localhost" if arguments.domain else ""
    message = "Ask at room 2-14 if you have no account yet."
    place = make_place(
        folder, set_up=not arguments.fresh, url=f"http://localhost:{port}", user_domain=domain, message=message
    )
    place.app.router.lifespan_context = _no_loops
    if arguments.fresh:
        print(f"http://localhost:{port}/hub/welcome?code={codes.make(place.db, 'welcome', {}, 900)}", flush=True)
    else:
        fill(place.db, arguments.users)
        print(f"http://localhost:{port}/hub/", flush=True)
    uvicorn.Server(uvicorn.Config(place.app, ws="none", server_header=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
