"""Everything a notebook server needs, imported once, before the fork."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import threading
from collections.abc import Collection
from contextlib import suppress

NO_HOME = "/nonexistent"
"""The home while importing: nothing of root's own is read, and a path that a module remembers is easily found."""

_ENTRANCES = (
    "terakoya.lab.app",
    "jupyter_lsp",
    "jupyter_server_terminals",
    "notebook.app",
    "notebook_shim.nbserver",
)
"""Without these there is no server; one that can't be imported is an error."""

_LAZY = (
    "IPython.core.interactiveshell",
    "IPython.display",
    "anyio._backends._asyncio",
    "babel.dates",
    "babel.numbers",
    "difflib",
    "encodings.idna",
    "encodings.unicode_escape",
    "ipykernel.kernelspec",
    "jinja2.ext",
    "jupyter_core.migrate",
    "jupyter_lsp.virtual_documents_shadow",
    "nbconvert.exporters",
    "tornado.platform.asyncio",
    "zmq.asyncio",
)
"""Imported by a server itself, when it starts or is first asked. A missing one costs a little time, nothing else."""


class NotAloneError(Exception):
    """A package started a thread while it was imported; a fork would leave that half-done."""

    def __init__(self, package: str) -> None:
        self.package = package
        names = ", ".join(thread.name for thread in threading.enumerate())
        super().__init__(f"{package} started a thread while it was imported ({names})")


def everything(leave_out: Collection[str] = ()) -> None:
    """Import, tidy up, and make sure that forking is safe. ImportError, or NotAloneError with the one to leave out."""
    os.environ["HOME"] = NO_HOME
    for name in _ENTRANCES:
        importlib.import_module(name)
    check_alone("JupyterLab")
    for name in [*_LAZY, *_handlers(), *_extensions()]:
        if name not in leave_out:
            with suppress(Exception):  # a server that needs it meets the same error, and says so
                importlib.import_module(name)
            check_alone(name)
    importlib.import_module("terakoya.lab.warm").everything()
    gc.collect()
    gc.freeze()
    check_alone("JupyterLab")


def check_alone(package: str) -> None:
    """Raise NotAloneError unless this process has exactly one thread, counted by the kernel."""
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 names are enough
        raise NotAloneError(package)


def _handlers() -> list[str]:
    """The modules that jupyter_server loads for its routes, when it makes them."""
    import jupyter_server  # noqa: PLC0415 after HOME is set

    packages = pkgutil.walk_packages(jupyter_server.__path__, "jupyter_server.")
    return [package.name for package in packages if package.name.rpartition(".")[2] in {"handlers", "shutdown"}]


def _extensions() -> list[str]:
    """Server extensions enabled for everybody in this environment."""
    from jupyter_core.paths import ENV_CONFIG_PATH, SYSTEM_CONFIG_PATH  # noqa: PLC0415
    from jupyter_server.extension.config import ExtensionConfigManager  # noqa: PLC0415

    manager = ExtensionConfigManager(read_config_path=[*ENV_CONFIG_PATH, *SYSTEM_CONFIG_PATH])
    return [name for name, enabled in manager.get_jpserver_extensions().items() if enabled]
