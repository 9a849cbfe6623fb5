"""Everything a notebook server needs, imported once, before the fork."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import threading
from contextlib import suppress
from pathlib import Path

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


def everything() -> None:
    """Import, tidy up, and make sure that forking is safe."""
    os.environ["HOME"] = "/nonexistent"  # nothing of root's own is read, and no path of it is remembered
    for name in _ENTRANCES:
        importlib.import_module(name)
    for name in [*_LAZY, *_handlers(), *_extensions()]:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    check_alone()


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


class NotAloneError(Exception):
    """A package started a thread while it was imported; a fork would leave it behind half-done."""


def check_alone() -> None:
    """Raise NotAloneError unless this process has exactly one thread, counted by the kernel."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise NotAloneError(f"{threads} threads: {names}")
