"""Everything a notebook server needs, imported once, before the fork."""

from __future__ import annotations

import gc
import importlib
import os
import threading

_MODULES = ("terakoya.lab.app", "notebook.app", "jupyter_server_terminals", "jupyter_lsp", "notebook_shim")


class NotAlone(Exception):
    """A package started a thread while it was imported; forking would leave it behind half-done."""


def everything() -> None:
    """Import, tidy up, and make sure that forking is safe."""
    os.environ["HOME"] = "/nonexistent"
    for name in _MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    check_alone()


def check_alone() -> None:
    """Raise NotAlone unless this process has exactly one thread, counted by the kernel."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise NotAlone(f"{threads} threads: {names}")
