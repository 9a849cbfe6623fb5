"""What a user has in the forked server: pages, kernels, terminals, files. All real."""

from __future__ import annotations

import base64
import json
import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.lab.servers import ForkServer, Started, until
from tests.osusers import OsUser, OsUsers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PAGE = {"hubUser": "Alice", "hubPrefix": "/hub/", "hubHost": "", "hubServerName": "extra"}


@pytest.fixture(scope="module")
def alice(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("alice")


@pytest.fixture(scope="module")
def server(fork_server: ForkServer, alice: OsUser) -> Started:
    return fork_server.start(alice, user_name="Alice", page_config=PAGE)


def page_config(html: str) -> dict[str, Any]:
    found = re.search(r'<script[^>]*id="jupyter-config-data"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_lab_page_knows_the_hub_and_no_secret(server: Started) -> None:
    answer = server.get("lab")
    assert answer.status_code == 200
    assert server.order["secret"] not in answer.text
    config = page_config(answer.text)
    assert config["token"] == ""
    assert {name: config[name] for name in PAGE} == PAGE
    assert config["news"] == {"disabled": True}
    assert config["quitButton"] is False
    assert config["terminalsAvailable"] is True
    assert config["extensionManager"]["can_install"] is False
    assert config["fullStaticUrl"] == f"{server.order['base_url']}static/lab"


def test_nobody_is_asked_about_news_from_outside(server: Started) -> None:
    for page in ("lab", "tree"):
        disabled = page_config(server.get(page).text)["disabledExtensions"]
        assert "@jupyterlab/apputils-extension:announcements" in disabled


def test_static_files_may_have_an_address_for_all(fork_server: ForkServer, alice: OsUser) -> None:
    shared = "/hub/lab-static/1"
    server = fork_server.start(alice, page_config=PAGE | {"fullStaticUrl": shared}, default_url="/tree")
    html = server.get("lab").text
    assert page_config(html)["fullStaticUrl"] == shared
    assert f'src="{shared}/main.' in html
    assert shared not in server.get("tree").text
    assert server.get("", follow_redirects=False).headers["location"] == f"{server.order['base_url']}tree?"
    server.stop()


def test_notebook_seven_is_there(server: Started) -> None:
    for path in ("tree", "notebooks/x.ipynb", "lab/tree/x.ipynb", "doc/tree/x.ipynb"):
        assert server.get(path).status_code == 200, path
    assert server.get("api/me").json()["identity"]["username"] == "Alice"


def test_only_the_token_header_counts(server: Started) -> None:
    secret = server.order["secret"]
    wrong = [
        {},
        {"Authorization": "token x"},
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"token {secret}x"},
    ]
    for headers in wrong:
        for path in ("api/status", "lab", "tree", "static/favicon.ico", "api/contents"):
            assert server.get(path, headers=headers).status_code == 403
            assert server.get(path, headers=headers, params={"token": secret}).status_code == 403
        with pytest.raises(InvalidStatus):
            server.websocket("api/events/subscribe", additional_headers=headers)
    answer = server.get("lab")
    again = server.get("api/status", headers={}, cookies=dict(answer.cookies))
    assert again.status_code == 403
    assert server.get("login").status_code == 404


def test_writing_needs_no_cookie_when_the_gate_asks(server: Started) -> None:
    made = server.request("POST", "api/contents", json={"type": "file", "ext": ".txt"})
    assert made.status_code == 201
    assert server.request("DELETE", f"api/contents/{made.json()['path']}").status_code == 204, server.log
    foreign = server.headers | {"Host": "notebooks.example.org", "Origin": "https://notebooks.example.org"}
    assert server.get("api/status", headers=foreign).status_code == 200


class Kernel:
    """Just enough of a kernel's client."""

    def __init__(self, server: Started) -> None:
        self.server = server
        self.id = server.request("POST", "api/kernels", json={"name": "python3"}).json()["id"]
        self.channel: ClientConnection = server.websocket(f"api/kernels/{self.id}/channels")

    def send(self, code: str) -> str:
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.4"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
        self.channel.send(json.dumps(message))
        return number

    def result(self, number: str) -> tuple[str, str]:
        """What was printed, and the reply's status."""
        printed, status, idle = "", "", False
        while not (status and idle):
            message = json.loads(self.channel.recv(timeout=30))
            if message["parent_header"].get("msg_id") != number:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "execute_reply":
                status = content["status"]
            elif message["msg_type"] == "status":
                idle = content["execution_state"] == "idle"
        return printed, status

    def run(self, code: str) -> tuple[str, str]:
        return self.result(self.send(code))


def test_a_kernel_runs_restarts_and_is_interrupted(server: Started, alice: OsUser) -> None:
    kernel = Kernel(server)
    assert kernel.run("import os; x = 1; print(os.getuid(), os.getcwd())") == (f"{alice.uid} {alice.home}\n", "ok")
    connection = json.loads(Path(server.order["runtime_dir"], f"kernel-{kernel.id}.json").read_text())
    assert connection["transport"] == "ipc"
    assert connection["ip"].startswith(server.order["runtime_dir"])
    number = kernel.send("print('in', flush=True)\nimport time; time.sleep(60)")
    until(lambda: json.loads(kernel.channel.recv(timeout=30))["msg_type"] == "stream")
    assert server.request("POST", f"api/kernels/{kernel.id}/interrupt").status_code == 204, server.log
    assert kernel.result(number)[1] == "error"
    assert server.request("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    kernel.channel.close()
    kernel.channel = server.websocket(f"api/kernels/{kernel.id}/channels")
    assert kernel.run("print('x' in globals())") == ("False\n", "ok")
    kernel.channel.close()
    assert server.request("DELETE", f"api/kernels/{kernel.id}").status_code == 204, server.log


def test_a_long_path_falls_back_to_ports(fork_server: ForkServer, alice: OsUser) -> None:
    server = fork_server.start(alice, runtime_dir=f"/tmp/{alice.name}-{'x' * 80}")
    kernel = Kernel(server)
    assert kernel.run("print(1)") == ("1\n", "ok")
    connection = json.loads(Path(server.order["runtime_dir"], f"kernel-{kernel.id}.json").read_text())
    assert connection["transport"] == "tcp"
    assert "curve_publickey" in connection
    kernel.channel.close()
    server.stop()


def test_a_terminal(server: Started, alice: OsUser) -> None:
    name = server.request("POST", "api/terminals").json()["name"]
    with server.websocket(f"terminals/websocket/{name}") as terminal:
        terminal.send(json.dumps(["stdin", "echo $((6*7))-$(id -un)-$PWD\r"]))
        seen = ""
        deadline = time.monotonic() + 30
        while f"42-{alice.name}-{alice.home}" not in seen and time.monotonic() < deadline:
            kind, *rest = json.loads(terminal.recv(timeout=30))
            seen += rest[0] if kind == "stdout" else ""
        assert f"42-{alice.name}-{alice.home}" in seen
    assert server.request("DELETE", f"api/terminals/{name}").status_code == 204, server.log


def test_a_large_file_goes_up_in_pieces_and_down_again(server: Started) -> None:
    piece = os.urandom(1 << 20)
    pieces = 24
    for number in range(1, pieces + 1):
        body = {
            "type": "file",
            "format": "base64",
            "content": base64.b64encode(piece).decode(),
            "chunk": number if number < pieces else -1,
        }
        assert server.request("PUT", "api/contents/big.bin", json=body).status_code in {200, 201}
    got = server.get("files/big.bin")
    assert got.content == piece * pieces
    server.request("DELETE", "api/contents/big.bin")


def test_one_large_request(server: Started) -> None:
    content = base64.b64encode(bytes(200 << 20)).decode()
    body = f'{{"type": "file", "format": "base64", "content": "{content}"}}'.encode()
    assert server.request("PUT", "api/contents/whole.bin", content=body).status_code == 201
    assert server.request("DELETE", "api/contents/whole.bin").status_code == 204, server.log


def test_nothing_is_imported_after_the_fork(fork_server: ForkServer, alice: OsUser) -> None:
    """What every server would import by itself costs time and memory in each: it belongs into the preload."""
    config = alice.home / ".jupyter"
    config.mkdir(exist_ok=True)
    script = config / "jupyter_server_config.py"
    script.write_text(
        "import atexit, os, sys\nbefore = set(sys.modules)\n"
        "from jupyter_server.serverapp import ServerApp\n"
        "stop = ServerApp._cleanup\n"
        "async def told(self):\n"
        "    print('LATE', sorted(set(sys.modules) - before), flush=True)\n"
        "    await stop(self)\n"
        "ServerApp._cleanup = told\n"
    )
    try:
        server = fork_server.start(alice)
        kernel = Kernel(server)
        kernel.run("1")
        kernel.channel.close()
        name = server.request("POST", "api/terminals").json()["name"]
        with server.websocket(f"terminals/websocket/{name}") as terminal:
            terminal.recv(timeout=30)
        for path in (
            "lab",
            "tree",
            "api/contents",
            "api/kernelspecs",
            "api/sessions",
            "lab/api/settings",
            "lab/api/translations",
            "lab/api/translations/ja_JP",
            "lab/api/workspaces",
            "lab/api/themes/@jupyterlab/theme-light-extension/index.css",
            "lsp/status",
            "api/nbconvert",
        ):
            assert server.get(path).status_code == 200, path
        server.stop()
        late = re.search(r"^LATE \[(.*)\]$", server.log, re.MULTILINE)
        assert late, server.log
        assert late[1] == ""
    finally:
        script.unlink()
