"""What every handler may use, in one place: the application's parts, hung on `app.state.hub`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from terakoya.accounts.providers.base import Authenticator
from terakoya.backends.base import Backend
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.web.i18n import Catalogues
from terakoya.web.labstatic import LabStatic
from terakoya.web.statics import Statics

if TYPE_CHECKING:
    from terakoya.launcher.client import LauncherClient
    from terakoya.servers.runner import Runner


@dataclass
class Hub:
    """The parts that pages and API call. `config` is replaced as a whole when settings are read again."""

    config: Config
    db: Database
    launcher: LauncherClient
    authenticator: Authenticator
    backend: Backend
    runner: Runner
    catalogues: Catalogues
    statics: Statics
    lab_static: LabStatic


def hub(connection: HTTPConnection) -> Hub:
    """The parts of the application that this request belongs to."""
    found: Hub = connection.app.state.hub
    return found
