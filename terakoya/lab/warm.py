"""What a server's first page needs, worked out once before the fork, and shared by all servers.

Nothing here makes an event loop, a thread or a socket, and nothing depends on a user. A step that a newer JupyterLab
does not know any more is left out: it costs each server a little time and memory, nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import jupyter_server
import notebook
from jinja2 import BytecodeCache, Environment, FileSystemLoader
from jinja2.bccache import Bucket
from jupyter_server.serverapp import ServerApp
from jupyterlab import labapp
from jupyterlab.commands import get_app_dir
from jupyterlab_server import settings_utils, translation_utils
from notebook.app import JupyterNotebookApp


class Templates(BytecodeCache):
    """Compiled templates in memory. A template that changed on disk is compiled again by jinja."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def __deepcopy__(self, memo: object) -> Templates:
        """Traits copy what is configured; there is one for all."""
        return self

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(KeyError):
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


templates = Templates()


def everything() -> None:
    """Do every step."""
    for step in (_templates, _languages, _settings, _traits):
        with suppress(Exception):
            step()


def _templates() -> None:
    folders = [Path(jupyter_server.__file__).parent / "templates", Path(notebook.__file__).parent / "templates"]
    for folder in [*folders, Path(get_app_dir(), "static")]:
        _compile(folder)


def _compile(folder: Path) -> None:
    environment = Environment(
        loader=FileSystemLoader(str(folder)), extensions=["jinja2.ext.i18n"], autoescape=True, bytecode_cache=templates
    )
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def _languages() -> None:
    translation_utils.get_language_packs()


def _settings() -> None:
    app_dir = get_app_dir()
    settings_utils.get_settings(f"{app_dir}/settings", f"{app_dir}/schemas", "/nonexistent", labextensions_path=[])


def _traits() -> None:
    for made in (ServerApp, labapp.LabApp, JupyterNotebookApp):
        made.class_trait_names()
