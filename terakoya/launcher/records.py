"""What the launcher must know again after its own death: one folder for each server, in it `keeper.json`.

<servers>/<key>/              0711 root
<servers>/<key>/keeper.json   0600, this record; replaced as a whole, so never half-written
<servers>/<key>/exit.json     written by the keeper when the server has ended
<servers>/<key>/user/         0700, the user's own: the runtime folder of the Jupyter server
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from terakoya.launcher.cgroups import Group
from terakoya.launcher.processes import Process

Status = Literal["starting", "running", "exited"]


def boot_id() -> str:
    """Start times of processes count from the machine's start, so they say something only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Record:
    """One server."""

    key: str
    os_name: str
    uid: int
    base_url: str
    log: Path
    started: float
    """Seconds since 1970."""
    timeout: float
    port: int = 0
    status: Status = "starting"
    reason: str = ""
    detail: str = ""
    keeper: Process | None = None
    server: Process | None = None
    group: Group = field(default_factory=Group)
    boot: str = field(default_factory=boot_id)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class Records:
    """The folders of all servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, key: str) -> Path:
        return self.folder / key

    def user_folder(self, key: str) -> Path:
        return self.of(key) / "user"

    def make(self, record: Record, gid: int | None) -> None:
        """The folders of a new server. `gid` None: they stay the launcher's own (no root)."""
        folder = self.of(record.key)
        folder.mkdir(mode=0o711)
        folder.chmod(0o711)
        self.save(record)
        self.user_folder(record.key).mkdir(mode=0o700)
        if gid is not None:
            os.chown(self.user_folder(record.key), record.uid, gid)

    def save(self, record: Record) -> None:
        fields = asdict(record) | {"log": str(record.log), "group": [str(path) for path in record.group.folders]}
        new = self.of(record.key) / "keeper.json.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:  # noqa: PTH123 mode from the start
            json.dump(fields, file)
        new.replace(new.with_name("keeper.json"))

    def load(self) -> list[Record]:
        """All that can be read; a folder without a readable record is of a start that never began, and is removed."""
        records = []
        for folder in sorted(self.folder.iterdir()):
            try:
                records.append(_record(json.loads((folder / "keeper.json").read_text())))
            except (OSError, ValueError, KeyError, TypeError):
                self.remove(folder.name)
        return records

    def exit_code(self, key: str) -> int | None:
        """What the keeper wrote when the server ended: the exit code, or minus the signal. None: it did not."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            fields = json.loads((self.of(key) / "exit.json").read_text())
            return -int(fields["signal"]) if fields.get("signal") else int(fields["code"])
        return None

    def remove(self, key: str) -> None:
        shutil.rmtree(self.of(key), ignore_errors=True)  # by descriptors: it follows no link of the user's


def _record(fields: dict[str, Any]) -> Record:
    for name in ("keeper", "server"):
        fields[name] = Process(**fields[name]) if fields[name] else None
    fields["log"] = Path(fields["log"])
    fields["group"] = Group(tuple(Path(path) for path in fields["group"]))
    record = Record(**fields)
    return record if record.boot == boot_id() else replace(record, keeper=None, server=None, port=0)
