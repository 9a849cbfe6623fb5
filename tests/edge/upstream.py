"""A small server in a user's place: says what reached it. Argument: a port, or the path of a Unix socket."""

import asyncio
import hashlib
import json
import os
import sys

from tornado import httpserver, netutil, web, websocket


class Echo(web.RequestHandler):
    """Answers with what it got."""

    def prepare(self):
        self.set_header("Content-Type", "application/json")

    def get(self):
        headers = [[name, value] for name, value in self.request.headers.get_all()]
        said = {"method": self.request.method, "uri": self.request.uri, "headers": headers, "pid": os.getpid()}
        self.write(json.dumps(said | {"body": self.request.body.decode("latin-1")}))

    post = put = patch = delete = options = get


class Big(web.RequestHandler):
    """Sends n bytes that do not compress."""

    async def get(self):
        left = int(self.get_argument("n"))
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", str(left))
        chunk = os.urandom(1 << 16)
        while left:
            part = chunk[: min(left, len(chunk))]
            self.write(part)
            await self.flush()
            left -= len(part)


@web.stream_request_body
class Sink(web.RequestHandler):
    """Counts what is sent and takes its digest, without keeping it."""

    def prepare(self):
        self.request.connection.set_max_body_size(1 << 40)
        self.size = 0
        self.digest = hashlib.sha256()

    def data_received(self, chunk):
        self.size += len(chunk)
        self.digest.update(chunk)

    def put(self):
        self.write({"size": self.size, "sha256": self.digest.hexdigest()})


class Text(web.RequestHandler):
    """Something that compresses, with an ETag; `?encoded` claims to be encoded already."""

    def get(self):
        kind = self.get_argument("type", "application/json")
        self.set_header("Content-Type", kind)
        if self.get_argument("encoded", ""):
            self.set_header("Content-Encoding", "gzip")
        self.write("a line that comes again and again\n" * 500)


class Events(web.RequestHandler):
    """Two events, the second when somebody asks for /user/x/release."""

    released = None

    async def get(self):
        self.set_header("Content-Type", "text/event-stream")
        self.write("data: 1\n\n")
        await self.flush()
        Events.released = asyncio.Event()
        await Events.released.wait()
        self.write("data: 2\n\n")


class Release(web.RequestHandler):
    def get(self):
        Events.released.set()


class Socket(websocket.WebSocketHandler):
    """Echoes; says first what headers it got."""

    def check_origin(self, origin):
        return True

    def open(self, *args):
        self.write_message(json.dumps(dict(self.request.headers)))

    def on_message(self, message):
        self.write_message(message, binary=isinstance(message, bytes))


async def main(where):
    routes = [
        (r".*/big", Big),
        (r".*/sink", Sink),
        (r".*/text", Text),
        (r".*/events", Events),
        (r".*/release", Release),
        (r".*/ws", Socket),
        (r".*", Echo),
    ]
    server = httpserver.HTTPServer(web.Application(routes), max_header_size=1 << 20)
    if where.isdecimal():
        server.listen(int(where), "127.0.0.1")
    else:
        server.add_socket(netutil.bind_unix_socket(where))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
