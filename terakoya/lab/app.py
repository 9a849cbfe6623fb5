"""The user's Jupyter server: JupyterLab and jupyter_server as they are, on a socket that listens already."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import LabApp
from tornado.httpserver import HTTPServer
from traitlets import default
from traitlets.config import Config

from terakoya.lab import home, settings, trouble
from terakoya.lab.identity import Door

Spec = dict[str, Any]
Tell = Callable[..., None]


class NotebookServer(ServerApp):  # type: ignore[misc] # traitlets has no types
    """A ServerApp on an inherited socket, behind the gate. It reads the user's usual `jupyter_server_config`."""

    spec: Spec
    listening: socket.socket
    tell: Tell

    @default("no_browser_open_file")  # type: ignore[untyped-decorator]
    def _no_browser_here(self) -> bool:
        return True

    @property
    def server_name(self) -> str:
        """JupyterLab asks for this where it runs under a hub."""
        return str(self.spec["page_config"].get("hubServerName", ""))

    def migrate_config(self) -> None:
        """A home that can't be written keeps its files of IPython 3 where they are."""
        with suppress(OSError):
            super().migrate_config()

    def load_config_file(self, suppress_errors: bool = True) -> None:
        """Lay our choices under the user's own; what must not differ was given as the app's config."""
        self.update_config(Config(settings.usual(self.spec)))
        super().load_config_file(suppress_errors)

    def init_configurables(self) -> None:
        super().init_configurables()
        self.identity_provider.secret = self.spec["secret"]
        self.identity_provider.user_name = self.spec["user_name"]

    def init_webapp(self) -> None:
        self.tornado_settings.update(settings.web(self.spec))
        super().init_webapp()

    def init_httpserver(self) -> None:
        """Instead of looking for a port: the launcher bound one before this process began."""
        self._http_server = HTTPServer(
            Door(self.web_app, self.spec["secret"]),
            xheaders=True,
            max_body_size=self.max_body_size,
            max_buffer_size=self.max_buffer_size,
        )
        self.io_loop.add_callback(self._accept)

    def _accept(self) -> None:
        self.http_server.add_sockets([self.listening])
        self.tell(event="ready")


def run(spec: Spec, listening: int, tell: Tell) -> int:
    """Serve until told to stop. `tell(event=...)` is called once, with `ready` or `failed`. Returns an exit status."""
    try:
        server = _build(spec, listening, tell)
    except BaseException as error:  # noqa: BLE001 jupyter_server ends itself by SystemExit
        detail = trouble.detail(error)
        print(detail, flush=True)  # noqa: T201 the log
        tell(event="failed", reason=trouble.reason(error), detail=detail)
        return 1
    server.start()
    return 0


def _build(spec: Spec, listening: int, tell: Tell) -> NotebookServer:
    home.settle(spec)
    listener = socket.socket(fileno=listening)
    listener.setblocking(False)
    config = Config(settings.fixed(spec, listener.getsockname()[1]))
    server: NotebookServer = NotebookServer.instance(
        jpserver_extensions={LabApp.get_extension_package(): True}, config=config
    )
    server.spec, server.listening, server.tell = spec, listener, tell
    server.initialize(argv=[], starter_extension=LabApp.name, find_extensions=LabApp.load_other_extensions)
    return server
