"""The accounts of this machine, as the machine itself tells them. A name that somebody sent is only ever looked up."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import asdict, dataclass
from typing import Any

NOBODY = 65534
"""Files of unknown owners belong to it, and services without an account of their own run as it: never a person."""


@dataclass(frozen=True)
class Person:
    """A human account."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    full_name: str

    @property
    def groups(self) -> list[str]:
        """Names of all its groups; a group without a name is left out."""
        names = []
        for gid in os.getgrouplist(self.name, self.gid):
            try:
                names.append(grp.getgrgid(gid).gr_name)
            except KeyError:
                continue
        return sorted(names)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"groups": self.groups}


@dataclass(frozen=True)
class Who:
    """Whose accounts count: people from `minimum_uid` on, and without root only the one that runs the launcher."""

    minimum_uid: int
    me: int

    def may_be(self, uid: int) -> bool:
        if self.me != 0:
            return uid == self.me
        return max(1, self.minimum_uid) <= uid < 2**32 - 2 and uid != NOBODY

    def find(self, name: str) -> Person | None:
        """None if there is no such account, or none that may be used."""
        if not name or "\0" in name or len(name) > 256:  # noqa: PLR2004 longer than any login name
            return None
        try:
            entry = pwd.getpwnam(name)
        except (KeyError, ValueError, OSError):
            return None
        return _person(entry) if self.may_be(entry.pw_uid) else None

    def all(self) -> list[Person]:
        """By name. Directories that refuse to be listed (most LDAP) only give the machine's own."""
        return sorted((_person(e) for e in pwd.getpwall() if self.may_be(e.pw_uid)), key=lambda person: person.name)


def _person(entry: pwd.struct_passwd) -> Person:
    return Person(
        name=entry.pw_name,
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        home=entry.pw_dir,
        shell=entry.pw_shell,
        full_name=entry.pw_gecos.partition(",")[0],
    )
