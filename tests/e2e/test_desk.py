"""alice at work: JupyterLab through the edge, as on her own machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.house import (
    LAUNCHER,
    NOTEBOOK,
    TYPED,
    House,
    Kernel,
    await_kernel,
    await_lab,
    fill_in,
    memory_mb,
    open_lab,
    shot,
    wait_for,
)
from tests.osusers import OsUser

BIG = 200_000_000
PIECE = 1024 * 1024
"""JupyterLab sends large files in pieces of this size."""

LESSON = """\
import numpy, tqdm, ipywidgets
import matplotlib.pyplot as plt
for _ in tqdm.tqdm(range(10)): pass
plt.plot(numpy.arange(10) ** 2)
plt.show()
display(ipywidgets.IntSlider(value=7, description="half"))
print("sum", numpy.arange(10).sum())
"""


def put_notebook(person: OsUser, name: str, *cells: str) -> None:
    made = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "source": cell,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for number, cell in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": made}
    put_file(person, name, json.dumps(notebook).encode())


def put_file(person: OsUser, name: str, content: bytes) -> Path:
    path = person.home / name
    path.write_bytes(content)
    os.chown(path, person.uid, person.gid)
    return path


def run_menu(page: Page, menu: str, entry: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(rf"^{menu}$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(rf"^{entry}")).first.click()


def test_sign_in_leads_into_jupyterlab(house: House) -> None:
    page = house.page()
    page.goto(f"{house.url}/")
    fill_in(page, house.alice)
    page.wait_for_url(re.compile(rf"/user/{house.alice.name}/lab"))
    await_lab(page)
    owner = house.alice.home.stat().st_uid
    servers = [path for path in Path("/proc").iterdir() if path.name.isdigit() and path.stat().st_uid == owner]
    assert servers


def test_a_lesson_runs(house: House) -> None:
    put_notebook(house.alice, "lesson.ipynb", LESSON)
    page = house.page(house.alice)
    open_lab(page, house.alice, "lesson.ipynb")
    run_menu(page, "Run", "Run All Cells")
    outputs = page.locator(f"{NOTEBOOK} .jp-OutputArea-output")
    expect(outputs.filter(has_text="sum 45")).to_be_visible(timeout=60_000)
    expect(outputs.filter(has_text="100%").first).to_be_visible()
    expect(page.locator(".jp-RenderedImage img")).to_be_visible()
    expect(page.locator(".widget-slider, .jupyter-widgets .noUi-target").first).to_be_visible()
    shot(page, "lesson")


def test_a_kernel_is_restarted_from_the_menu(house: House) -> None:
    put_notebook(house.alice, "again.ipynb", "print('here' if 'mark' in globals() else 'new')\nmark = 1")
    page = house.page(house.alice)
    open_lab(page, house.alice, "again.ipynb")
    output = page.locator(f"{NOTEBOOK} .jp-OutputArea-output")
    for said in ("new", "here"):
        run_menu(page, "Run", "Run All Cells")
        expect(output).to_have_text(re.compile(said), timeout=30_000)
    run_menu(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    await_kernel(page)
    run_menu(page, "Run", "Run All Cells")
    expect(output).to_have_text(re.compile("new"), timeout=30_000)


def test_a_terminal_is_hers(house: House) -> None:
    page = house.page(house.alice)
    open_lab(page, house.alice)
    page.locator(LAUNCHER, has_text="Terminal").click()
    expect(page.locator(".jp-Terminal .xterm-screen").first).to_be_visible()
    told = house.alice.home / "told.txt"
    page.locator(".jp-Terminal textarea").first.focus()

    def typed() -> bool:
        page.keyboard.type("id -un > told.txt; pwd >> told.txt\n")
        page.wait_for_timeout(500)
        return told.exists() and len(told.read_text().splitlines()) == 2

    wait_for(typed, "the terminal writes a file")
    assert told.read_text().split() == [house.alice.name, str(house.alice.home)]


def test_notebook_7_opens(house: House) -> None:
    page = house.page(house.alice)
    page.goto(f"{house.url}/user/{house.alice.name}/tree")
    expect(page.locator(".jp-FileBrowser").first).to_be_visible(timeout=45_000)


def test_user_redirect_waits_for_the_sign_in(house: House) -> None:
    put_notebook(house.alice, "x.ipynb", "1 + 1")
    page = house.page()
    page.goto(f"{house.url}/hub/user-redirect/lab/tree/x.ipynb")
    expect(page).to_have_url(re.compile("/hub/login"))
    fill_in(page, house.alice)
    page.wait_for_url(re.compile(rf"/user/{house.alice.name}/lab/tree/x\.ipynb"))
    expect(page.locator(f"{NOTEBOOK} .jp-CodeCell").first).to_be_visible(timeout=45_000)


def test_two_tabs_start_at_once(house: House) -> None:
    client = house.client(house.bob)
    client.delete(f"/hub/api/users/{house.bob.name}/server")
    wait_for(lambda: not house.answers(client, house.bob), "bob's server stopped")
    page = house.page()
    page.goto(f"{house.url}/hub/login")
    other = page.context.new_page()
    other.goto(f"{house.url}/hub/login")
    for tab in (page, other):
        tab.get_by_label("Name", exact=True).fill(house.bob.name)
        tab.get_by_label("Password", exact=True).fill(house.bob.password)
    for tab in (page, other):
        tab.get_by_role("button", name="Sign in").click(no_wait_after=True)
    for tab in (page, other):
        tab.wait_for_url(re.compile(rf"/user/{house.bob.name}/lab"))
        expect(tab.locator(LAUNCHER).first).to_be_visible(timeout=45_000)
    assert len(json.loads(house.ours.command("server", "list", "--json"))) >= 1


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def big(house: House) -> Iterator[bytes]:
    yield os.urandom(PIECE) * (BIG // PIECE + 1)
    for name in ("big.bin", "small.bin"):
        (house.alice.home / name).unlink(missing_ok=True)


def test_200_megabytes_up_and_down(house: House, big: bytes) -> None:
    client = house.client(house.alice)
    before = {name: memory_mb(pid) for name, pid in house.pids().items()}
    address = f"/user/{house.alice.name}/api/contents/big.bin"
    pieces = [big[at : at + PIECE] for at in range(0, BIG, PIECE)]
    for number, piece in enumerate(pieces, 1):
        chunk = -1 if number == len(pieces) else number
        content = base64.b64encode(piece).decode()
        body = {
            "type": "file",
            "format": "base64",
            "name": "big.bin",
            "path": "big.bin",
            "chunk": chunk,
            "content": content,
        }
        assert client.put(address, json=body).status_code in {200, 201}
    sent = hashlib.sha256(b"".join(pieces))
    got = hashlib.sha256()
    with client.stream("GET", f"/user/{house.alice.name}/files/big.bin") as answer:
        assert answer.status_code == 200
        for part in answer.iter_bytes(PIECE):
            got.update(part)
    assert got.digest() == sent.digest()
    assert (house.alice.home / "big.bin").stat().st_uid == house.alice.uid
    for name, pid in house.pids().items():
        assert memory_mb(pid) - before[name] < 60, name


def test_files_through_the_page(house: House, big: bytes, tmp_path: Path) -> None:
    small = tmp_path / "small.bin"
    small.write_bytes(big[:5_000_000])
    page = house.page(house.alice)
    open_lab(page, house.alice)
    with page.expect_file_chooser() as chooser:
        page.locator('[data-command="filebrowser:upload"], [title="Upload Files"]').first.click()
    chooser.value.set_files(small)
    there = house.alice.home / "small.bin"
    wait_for(lambda: there.exists() and there.stat().st_size == 5_000_000, "uploaded")
    page.locator(".jp-DirListing-item", has_text="small.bin").click(button="right")
    with page.expect_download() as download:
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Download$")).click()
    assert Path(download.value.path()).read_bytes() == small.read_bytes()


def test_a_kernel_without_a_page(house: House) -> None:
    kernel = Kernel(house.client(house.alice), house.alice)
    try:
        said = kernel.run("import os, getpass; print(getpass.getuser(), os.getcwd(), os.umask(0o22) >= 0)")
        assert said.split() == [house.alice.name, str(house.alice.home), "True"]
    finally:
        kernel.close()


def test_an_unwritable_home_keeps_nobody_out(house: House) -> None:
    """Runtime files lie elsewhere, so that somebody with a full or broken disk can still get in and look."""
    client = house.client(house.bob)
    client.delete(f"/hub/api/users/{house.bob.name}/server")
    wait_for(lambda: not house.answers(client, house.bob), "bob's server stopped")
    home = house.bob.home
    for folder in (".jupyter", ".local", ".ipython"):
        shutil.rmtree(home / folder, ignore_errors=True)
    os.chown(home, 0, 0)
    home.chmod(0o555)
    try:
        answer = client.get(f"/user/{house.bob.name}/lab", headers=TYPED, follow_redirects=True)
        assert answer.status_code == 200
        house.start(client, house.bob)
    finally:
        os.chown(home, house.bob.uid, house.bob.gid)
        home.chmod(0o700)
