"""The hub's side of the launcher's socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from terakoya.accounts.providers.pam import PamAuthenticator
from terakoya.errors import LauncherUnavailable
from terakoya.launcher import client
from terakoya.launcher.client import LauncherClient

pytestmark = pytest.mark.anyio


async def test_a_launcher_that_does_not_answer_is_taken_as_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and hangs: nobody may hang with it."""
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    monkeypatch.setattr(client, "SIGN_IN_PATIENCE", 0.05)
    release = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "launcher.sock")
    asked = LauncherClient(tmp_path / "launcher.sock")
    try:
        async with asyncio.timeout(5):
            for question in (asked.ping, asked.list, asked.accounts):
                with pytest.raises(LauncherUnavailable):
                    await question()
            with pytest.raises(LauncherUnavailable):
                await asked.stop("key", 0.01)
            answer = await PamAuthenticator(asked).authenticate("alice", "secret", "127.0.0.1")
    finally:
        release.set()
        server.close()
    assert answer.result == "unavailable"
    assert not answer.message.endswith(".")  # it stands within a sentence
