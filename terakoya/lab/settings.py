"""What a user's Jupyter server is told: what must be so, and what is usual here and the user may change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyterlab.commands import get_user_settings_dir, get_workspaces_dir

from terakoya.lab import node, warm
from terakoya.lab.identity import GateIdentity

Spec = dict[str, Any]
_SOCKET_PATH_LIMIT = 107
_KERNEL_SOCKET_NAME = len("/kernel-01234567-89ab-cdef-0123-456789abcdef-ipc-1")
_NEWS = "@jupyterlab/apputils-extension:announcements"
"""Asks every user whether to fetch news from outside; updates are the administrator's business."""
_FOR_LAB_ONLY = {"fullStaticUrl", "staticUrl"}


def fixed(spec: Spec, port: int) -> dict[str, Any]:
    """Traits that routing and safety rest on; they win over the user's configuration files."""
    server = {
        "base_url": spec["base_url"],
        "ip": "127.0.0.1",
        "port": port,
        "sock": "",
        "certfile": "",
        "keyfile": "",
        "identity_provider_class": GateIdentity,
        "allow_remote_access": True,
        "trust_xheaders": True,
        "open_browser": False,
        "cookie_secret": os.urandom(32),
    }
    return {"ServerApp": server, "IdentityProvider": {"token": ""}}


def usual(spec: Spec) -> dict[str, Any]:
    """Traits with other values than Jupyter's own, under whatever the user configured."""
    default_url = {"default_url": spec["default_url"]} if spec["default_url"] else {}
    lab = {
        "extension_manager": "readonly",
        "news_url": None,
        "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "user_settings_dir": get_user_settings_dir(),
        "workspaces_dir": get_workspaces_dir(),
        **default_url,
    }
    compiled = {"bytecode_cache": warm.templates}
    return {
        "ServerApp": {"quit_button": False, "websocket_ping_interval": 30, "jinja_environment_options": compiled},
        "LabApp": {**lab, "jinja2_options": compiled},
        "JupyterNotebookApp": {"jinja2_options": compiled},
        "KernelManager": _kernel_transport(spec["runtime_dir"]),
        "LanguageServerManager": {"node_roots": node.roots(Path.home())},
    }


def web(spec: Spec) -> dict[str, Any]:
    """Settings of the web application: what makes JupyterLab show the hub in its File menu, and the page's extras."""
    page = spec["page_config"]
    hub = {"hub_prefix": page.get("hubPrefix", "/hub/"), "hub_host": page.get("hubHost", ""), "user": spec["user_name"]}

    def complete(handler: JupyterHandler, page_config: dict[str, Any]) -> dict[str, Any]:
        extra = page if getattr(handler, "name", "") == "lab" else {k: page[k] for k in page.keys() - _FOR_LAB_ONLY}
        page_config.update(extra)
        page_config["disabledExtensions"] = [*page_config.get("disabledExtensions", []), _NEWS]
        return page_config

    return {**hub, "page_config_hook": complete}


def _kernel_transport(runtime_dir: str) -> dict[str, str]:
    """Sockets in the user's own folder; a loopback port could be dialled by other users of the machine.

    Where the folder's path is too long for a socket's name it is ports, encrypted if the kernel can.
    """
    if len(os.fsencode(Path(runtime_dir))) + _KERNEL_SOCKET_NAME <= _SOCKET_PATH_LIMIT:
        return {"transport": "ipc"}
    return {"transport_encryption": "auto"}
