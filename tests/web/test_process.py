"""The hub as a process of its own: on a Unix socket, settings read again, ending while streams are open."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from terakoya.accounts import entry, tokens
from terakoya.db.engine import Database
from tests.web.site import make_config

DEADLINE = 60


class Process:
    def __init__(self, config):
        self.config, self.socket = config, config.socket("hub")
        config.storage.runtime.mkdir(exist_ok=True)
        self.log = (config.path.parent / "hub.log").open("wb")
        command = [sys.executable, "-m", "terakoya.web", "--config", str(config.path)]
        self.child = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def client(self):
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://localhost", timeout=20
        )

    def until(self, condition):
        end = time.monotonic() + DEADLINE
        while True:
            assert time.monotonic() < end, self.said()
            assert self.child.poll() is None, self.said()
            if self.answers():
                with self.client() as client:
                    if condition(client):
                        return
            time.sleep(0.05)

    def answers(self):
        # httpx leaves a socket open that could not be connected.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def said(self):
        return (self.config.path.parent / "hub.log").read_text()


@pytest.fixture
def process(tmp_path):
    config = make_config(tmp_path, '[site]\ntitle = "First"\n')
    config.storage.state.mkdir()
    config.storage.runtime.mkdir()
    config.socket("hub").write_text("left by a dead process")
    made = Process(config)
    yield made
    made.child.kill()
    made.child.wait()
    made.log.close()


def test_life_of_the_process(process):
    process.until(lambda client: client.get("/hub/health").status_code == 200)
    assert process.socket.stat().st_mode & 0o777 == 0o600
    with process.client() as client:
        answer = client.get("/hub/login")
        assert "First" in answer.text
        assert "server" not in answer.headers

    process.config.path.write_text(process.config.path.read_text().replace("First", "Second"))
    process.child.send_signal(signal.SIGHUP)
    process.until(lambda client: "Second" in client.get("/hub/login").text)

    process.config.path.write_text("[site]\ntitel = 1\n")
    process.child.send_signal(signal.SIGHUP)
    process.until(lambda _client: "titel" in process.said())
    with process.client() as client:
        assert "Second" in client.get("/hub/login").text


def test_ends_while_a_stream_is_open(process):
    process.until(lambda client: client.get("/hub/health").status_code == 200)
    db = Database(process.config.database_url)
    taro = entry.set_up(db, "taro", entry.Rule(everybody=True))
    key = {"Authorization": f"token {tokens.make(db, taro.id)[0]}"}
    db.close()
    with process.client() as client:
        # There is no launcher, so the start goes on and on.
        with pytest.raises(httpx.ReadTimeout):
            client.post("/hub/api/users/taro/server", headers=key, timeout=0.5)
        with client.stream("GET", "/hub/api/users/taro/server/progress", headers=key) as stream:
            next(stream.iter_lines())
            begin = time.monotonic()
            process.child.send_signal(signal.SIGTERM)
            process.child.wait(10)
            assert time.monotonic() - begin < 4
    assert process.child.returncode in {0, -signal.SIGTERM}, process.said()


def test_a_mistake_in_the_settings_is_told(tmp_path):
    file = tmp_path / "terakoya.toml"
    file.write_text("[site]\ntitel = 'x'\n")
    command = [sys.executable, "-m", "terakoya.web", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 1
    assert 'there is no setting "titel"' in done.stderr
    assert "Traceback" not in done.stderr
