"""bob, who works beside alice, mallory, who is signed out, and a token: none of them reaches her server."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from bench.people import processes_of
from tests.e2e.house import OUR_PAGE, TYPED, House, Kernel, children, open_socket, run_as, wait_for

PATHS = ("lab", "api/contents", "api/kernels", "files/told.txt", "tree", "api/status")


@pytest.fixture
def alices(house: House) -> httpx.Client:
    """alice is signed in and her server runs."""
    return house.client(house.alice)


def ports_of(house: House) -> set[int]:
    """The loopback ports that alice's processes listen on."""
    own = {f"socket:[{inode}]" for inode in _inodes(processes_of(house.alice.uid))}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


def _inodes(pids: list[int]) -> set[str]:
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", str(link.readlink())))}


@pytest.mark.parametrize("path", PATHS)
def test_bobs_session_does_not_open_her_server(house: House, alices: httpx.Client, path: str) -> None:
    bob = house.client(house.bob, started=False)
    for headers in (OUR_PAGE, TYPED):
        answer = bob.get(f"/user/{house.alice.name}/{path}", headers=headers)
        assert answer.status_code in {302, 403, 404}, answer.text
        assert "/hub/spawn" not in answer.headers.get("location", "")
        assert house.alice.home.name not in answer.text.replace(f"/user/{house.alice.name}", "")


def test_bobs_token_does_not_open_her_server(house: House, alices: httpx.Client) -> None:
    bob = house.client(house.bob, started=False)
    token = bob.post(f"/hub/api/users/{house.bob.name}/tokens", json={"note": "test"}).json()["token"]
    stranger = house.client()
    for sent in ({"Authorization": f"token {token}"}, {"Authorization": f"Bearer {token}"}):
        assert stranger.get(f"/user/{house.alice.name}/api/status", headers=sent).status_code in {403, 404}
        assert stranger.get(f"/hub/api/users/{house.alice.name}", headers=sent).status_code in {403, 404}
    assert stranger.get(f"/user/{house.alice.name}/api/status?token={token}").status_code in {403, 404}
    assert stranger.post(f"/hub/api/users/{house.alice.name}/tokens", headers=sent).status_code in {403, 404}


def test_her_own_token_opens_it(house: House, alices: httpx.Client) -> None:
    token = alices.post(f"/hub/api/users/{house.alice.name}/tokens", json={"note": "test"}).json()["token"]
    answer = house.client().get(f"/user/{house.alice.name}/api/status", headers={"Authorization": f"token {token}"})
    assert answer.status_code == 200


def test_bob_opens_no_websocket_to_her_kernel(house: House, alices: httpx.Client) -> None:
    kernel = Kernel(alices, house.alice)
    try:
        for client in (house.client(house.bob, started=False), house.client()):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(client, f"/user/{house.alice.name}/api/kernels/{kernel.id}/channels")
            assert refused.value.response.status_code in {401, 403, 404}
    finally:
        kernel.close()


def test_another_sites_page_opens_no_websocket(house: House, alices: httpx.Client) -> None:
    """alice's own browser, on a page of somebody else."""
    kernel = Kernel(alices, house.alice)
    try:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(alices, f"/user/{house.alice.name}/api/kernels/{kernel.id}/channels", **headers)
            assert refused.value.response.status_code == 403
        forged = alices.post(f"/user/{house.alice.name}/api/terminals", headers={"Sec-Fetch-Site": "cross-site"})
        assert forged.status_code == 403
    finally:
        kernel.close()


def test_mallory_signed_out(house: House, alices: httpx.Client) -> None:
    mallory = house.client()
    page = mallory.get(f"/user/{house.alice.name}/lab", headers=TYPED)
    assert page.status_code == 302
    assert "/hub/login" in page.headers["location"]
    call = mallory.get(f"/user/{house.alice.name}/api/contents")
    assert call.status_code in {401, 403}
    assert call.json()["status"] == call.status_code
    for cookie in ("", "x", "A" * 43, "A" * 5000, alices.cookies["terakoya-session"][:-1]):
        got = mallory.get(f"/user/{house.alice.name}/api/status", headers={"Cookie": f"terakoya-session={cookie}"})
        assert got.status_code in {401, 403, 431}, cookie


def test_bob_dials_her_port(house: House, alices: httpx.Client) -> None:
    ports = ports_of(house)
    assert ports
    for port in ports:
        for path in ("api/status", "api/contents", "lab", "api/kernels", "files/told.txt"):
            url = f"http://127.0.0.1:{port}/user/{house.alice.name}/{path}"
            done = run_as(house.bob, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url)
            assert done.stdout not in {"200", "201", "204"}, url


def test_bob_reads_nothing_of_hers_in_proc(house: House, alices: httpx.Client) -> None:
    for pid in processes_of(house.alice.uid):
        for name in ("environ", "maps", "fd/0", "cwd", "root", "mem"):
            assert run_as(house.bob, "cat", f"/proc/{pid}/{name}").returncode != 0, name


def test_no_process_tells_a_secret_in_its_arguments(house: House, alices: httpx.Client) -> None:
    secrets = known_secrets(house, alices)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told = entry.read_bytes()
        except OSError:
            continue
        for secret in secrets:
            assert secret not in told, told


def test_the_environment_of_her_server_has_no_secret_of_ours(house: House, alices: httpx.Client) -> None:
    kernel = Kernel(alices, house.alice)
    try:
        told = kernel.run("import os; print(dict(os.environ))").encode()
    finally:
        kernel.close()
    for secret in known_secrets(house, alices):
        assert secret not in told


def test_the_session_cookie_never_reaches_her_server(house: House, alices: httpx.Client) -> None:
    """A proxied program of hers, as any server extension, sees every header of a request."""
    kernel = Kernel(alices, house.alice)
    try:
        told = kernel.run(
            "import gc, tornado.httputil\n"
            "print([dict(each) for each in gc.get_objects() if isinstance(each, tornado.httputil.HTTPHeaders)])"
        )
    finally:
        kernel.close()
    assert alices.cookies["terakoya-session"] not in told
    memory = b"".join(_memory(pid) for pid in processes_of(house.alice.uid))
    assert alices.cookies["terakoya-session"].encode() not in memory


def _memory(pid: int) -> bytes:
    """What can be read of the heap of a process."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "[heap]" in line or ("rw-p 00000000 00:00 0" in line and "[" not in line):
                low, high = (int(end, 16) for end in line.split()[0].split("-"))
                try:
                    memory.seek(low)
                    parts.append(memory.read(high - low))
                except OSError:
                    continue
    return b"".join(parts)


def known_secrets(house: House, client: httpx.Client) -> list[bytes]:
    """The servers' own secrets, alice's cookie and her password."""
    database = sqlite3.connect(house.ours.folder / "state/terakoya.sqlite")
    rows = database.execute("SELECT secret FROM servers WHERE secret != ''").fetchall()
    database.close()
    assert rows
    return [row[0].encode() for row in rows] + [
        client.cookies["terakoya-session"].encode(),
        house.alice.password.encode(),
    ]


def test_bob_reads_no_file_or_socket_of_ours(house: House, alices: httpx.Client) -> None:
    secrets = known_secrets(house, alices)
    folder = house.ours.folder
    assert run_as(house.bob, "ls", str(folder / "run")).returncode != 0
    for path in [*folder.rglob("*")]:
        if path == house.ours.config or path.is_dir():
            continue
        if path.is_socket():
            done = run_as(house.bob, "curl", "-sS", "--max-time", "2", "--unix-socket", str(path), "http://localhost/")
            assert done.returncode != 0, path
        else:
            done = run_as(house.bob, "cat", str(path))
            assert done.returncode != 0 or not any(secret.decode() in done.stdout for secret in secrets), path
    assert run_as(house.bob, "cat", *map(str, (folder / "logs").rglob("*.log"))).stdout == ""


def test_logs_tell_no_secret(house: House, alices: httpx.Client) -> None:
    written = "".join(
        path.read_text(errors="replace") for path in (house.ours.folder / "logs").rglob("*") if path.is_file()
    )
    for secret in known_secrets(house, alices):
        assert secret.decode() not in written


def test_bob_cannot_end_her_server(house: House, alices: httpx.Client) -> None:
    bob = house.client(house.bob, started=False)
    for method, path in (
        ("DELETE", f"/hub/api/users/{house.alice.name}/server"),
        ("POST", f"/hub/api/users/{house.alice.name}/server"),
        ("POST", f"/hub/admin/users/{house.alice.name}/stop"),
        ("DELETE", f"/hub/api/users/{house.alice.name}"),
    ):
        assert bob.request(method, path).status_code in {403, 404}, path
    assert house.answers(alices, house.alice)
    for pid in processes_of(house.alice.uid):
        assert run_as(house.bob, "kill", str(pid)).returncode != 0


def test_a_server_has_nothing_of_roots(house: House, alices: httpx.Client) -> None:
    """No descriptor of the launcher, no capability, no group but hers."""
    own = processes_of(house.alice.uid)
    for pid in own:
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert re.search(r"^CapPrm:\s+0+$", status, re.MULTILINE)
        assert set(re.search(r"^Uid:(.*)$", status, re.MULTILINE)[1].split()) == {str(house.alice.uid)}
        assert set(re.search(r"^Groups:(.*)$", status, re.MULTILINE)[1].split()) <= {str(house.alice.gid)}
        opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [
            path
            for path in opened
            if str(house.ours.folder) in path and "/logs/servers/" not in path and "/user" not in path
        ]
    assert not [child for pid in own for child in children(pid) if child not in own]


def test_names_in_other_spellings(house: House, alices: httpx.Client) -> None:
    bob = house.client(house.bob, started=False)
    name = house.alice.name
    for path in (
        f"/user/{name.upper()}/api/status",
        f"/user/%{ord(name[0]):02x}{name[1:]}/api/status",
        f"/user/{house.bob.name}/../{name}/api/status",
        f"/user/{house.bob.name}/..%2f{name}/api/status",
        f"/user/{house.bob.name}%2f..%2f{name}/api/status",
        f"//user/{name}/api/status",
        f"/hub/../user/{name}/api/status",
    ):
        wait_for(lambda path=path: raw_status(house, bob, path) != 200, path, 2)


def raw_status(house: House, client: httpx.Client, path: str) -> int:
    """The path as it is written: httpx would tidy it."""
    import http.client

    connection = http.client.HTTPConnection("localhost", client.base_url.port or 80, timeout=10)
    connection.putrequest("GET", path)
    connection.putheader("Cookie", f"terakoya-session={client.cookies['terakoya-session']}")
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status
