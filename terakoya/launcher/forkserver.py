"""The fork server: one process that has imported everything a notebook server needs, and forks.

Started by the launcher as `python -I -m terakoya.launcher.forkserver` with file descriptor 3 as its end of a
SOCK_SEQPACKET socketpair. It ends when that socket ends; what it forked goes on.

It never reads an order itself: the child that an order is for does. So nothing of one user's order, such as the
secret of the server, is ever in memory that another user's server inherits.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from terakoya.launcher import keeper, preload, privileges

CHANNEL = 3
_MOST_BYTES = 1 << 20
_FDS = 3


def main() -> None:
    channel = socket.socket(fileno=CHANNEL)
    os.set_inheritable(CHANNEL, False)
    started = time.monotonic()
    leave_out = sys.argv[1:]
    try:
        preload.everything(leave_out)
    except preload.NotAloneError as error:
        if error.package not in leave_out and error.package != "JupyterLab":
            print(f"{error}; it is left for servers to import", file=sys.stderr)  # noqa: T201 the log
            _again(channel, [*leave_out, error.package])
        _tell(channel, event="failed", reason=f"Notebook servers can't be forked: {error}.", detail="")
        sys.exit(1)
    except BaseException as error:  # noqa: BLE001 also SystemExit of a broken package is a report
        _tell(channel, event="failed", reason=_why_not(error), detail=traceback.format_exc())
        sys.exit(1)
    privileges.name_process("terakoya-fork")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are watched by the launcher; none becomes a zombie
    _tell(channel, event="preloaded", seconds=round(time.monotonic() - started, 3))
    while _another_order(channel):
        fork_one(channel)


def _again(channel: socket.socket, leave_out: list[str]) -> NoReturn:
    """Begin anew as the same process, without what can't be imported before a fork."""
    channel.set_inheritable(True)
    os.execv(sys.executable, [sys.executable, "-I", "-m", "terakoya.launcher.forkserver", *leave_out])  # noqa: S606


def fork_one(channel: socket.socket) -> None:
    """Fork a keeper and wait until it has taken its order off the channel."""
    taken, take = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(take)
        os.close(taken)
        _refuse(channel, f"The machine can't start another process: {error.strerror}.")
        return
    if pid == 0:
        os.close(taken)
        _become_keeper(channel, take)
    os.close(take)
    if not os.read(taken, 1):
        _refuse(channel, "The process that should have started the server ended at once.")
    os.close(taken)


def _become_keeper(channel: socket.socket, take: int) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        order, fds = receive(channel)
        os.write(take, b"x")
        os.close(take)
        channel.close()
        status = keeper.run(order, *fds)
    except BaseException:  # noqa: BLE001 nothing may get back into the loop of the parent
        traceback.print_exc()
    finally:
        os._exit(status)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One order with its file descriptors: the listening socket, the log, the pipe for events."""
    data, fds, flags, _ = socket.recv_fds(channel, _MOST_BYTES, _FDS)
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(fds) != _FDS:
        raise ValueError(f"incomplete order: {len(data)} bytes, {len(fds)} file descriptors")
    for fd in fds:
        os.set_inheritable(fd, False)
    return json.loads(data), fds


def _another_order(channel: socket.socket) -> bool:
    """Wait for an order without reading it; False when the launcher is gone."""
    try:
        return bool(channel.recv(1, socket.MSG_PEEK))
    except ConnectionError:
        return False


def _refuse(channel: socket.socket, reason: str) -> None:
    """Take an order off the channel, reading nothing of it but where to answer."""
    _, fds, _, _ = socket.recv_fds(channel, 1, _FDS, socket.MSG_DONTWAIT)
    if len(fds) == _FDS:
        keeper.tell(fds[2], event="failed", reason=reason, detail="")
    for fd in fds:
        os.close(fd)


def _why_not(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return f"JupyterLab is not complete in this Python environment: {error}."
    return f"JupyterLab can't be loaded in this Python environment: {type(error).__name__}: {error}."


def _tell(channel: socket.socket, **event: object) -> None:
    try:
        channel.send(json.dumps(event).encode())
    except BrokenPipeError:  # the launcher died while everything was imported; the next one has its own fork server
        sys.exit(0)


if __name__ == "__main__":
    main()
