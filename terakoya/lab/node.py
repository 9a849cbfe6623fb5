"""Where a server looks for language servers that were installed with npm.

jupyter_lsp would run `npm prefix -g` in every server that starts, which costs as much as all the rest of the start.
The answer is in npm's own settings: https://docs.npmjs.com/cli/configuring-npm/folders#prefix-configuration
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jupyterlab.commands import get_app_dir

SYSTEM_SETTINGS = Path("/etc/npmrc")
_PREFIX = re.compile(r"""^\s*prefix\s*=\s*["']?(.+?)["']?\s*$""", re.MULTILINE)


def roots(home: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Folders that may hold a `node_modules`, the same as jupyter_lsp's own in the same order."""
    folders = [Path.cwd(), Path(get_app_dir(), "staging"), Path(sys.prefix, "lib"), Path(sys.prefix)]
    if prefix := npm_prefix(home, environment):
        folders += [Path(prefix, "lib"), Path(prefix)]
    return [str(folder) for folder in folders]


def npm_prefix(home: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The folder of npm's global packages; "" where there is no npm."""
    npm = shutil.which("npm", path=environment.get("PATH", os.defpath))
    if not npm:
        return ""
    for name in ("npm_config_prefix", "NPM_CONFIG_PREFIX"):
        if environment.get(name):
            return environment[name]
    for settings in (home / ".npmrc", SYSTEM_SETTINGS):
        with suppress(OSError, UnicodeDecodeError):
            if found := _PREFIX.search(settings.read_text(encoding="utf-8")):
                return _expanded(found[1], home, environment)
    node = shutil.which("node", path=environment.get("PATH", os.defpath)) or npm
    return str(Path(node).resolve().parent.parent)


def _expanded(text: str, home: Path, environment: Mapping[str, str]) -> str:
    """Npm knows `${NAME}` and `~/` in its settings."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: environment.get(found[1], found[0]), text)
    return str(home / text[2:]) if text.startswith("~/") else text
