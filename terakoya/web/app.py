"""The web application, put together: what it is made of stands here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware

from terakoya import __version__
from terakoya.accounts.providers.base import Authenticator
from terakoya.accounts.providers.pam import PamAuthenticator
from terakoya.backends.base import Backend
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.web import api, errors, i18n
from terakoya.web.errors import Guard
from terakoya.web.headers import BodyLimit, SecurityHeaders
from terakoya.web.labstatic import LabStatic
from terakoya.web.lifespan import lifespan
from terakoya.web.pages import (
    account,
    admin,
    audit,
    entry,
    handover,
    home,
    links,
    signin,
    signout,
    spawn,
    system,
    token,
    visit,
    welcome,
)
from terakoya.web.state import Hub
from terakoya.web.statics import Statics

if TYPE_CHECKING:
    from terakoya.launcher.client import LauncherClient
    from terakoya.servers.runner import Runner

PAGES = (
    system,
    signin,
    signout,
    links,
    handover,
    welcome,
    home,
    spawn,
    token,
    account,
    admin,
    entry,
    audit,
    visit,
)


def build(
    config: Config,
    db: Database,
    launcher: LauncherClient,
    backend: Backend,
    runner: Runner,
    authenticator: Authenticator | None = None,
    lab_static: LabStatic | None = None,
) -> FastAPI:
    """The hub's pages and API. Nothing runs yet: the loops start with the application's lifespan."""
    app = FastAPI(
        title="terakoya",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/hub/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(SecurityHeaders, config=config), Middleware(BodyLimit), Middleware(Guard)],
    )
    app.state.hub = Hub(
        config=config,
        db=db,
        launcher=launcher,
        authenticator=authenticator or PamAuthenticator(launcher),
        backend=backend,
        runner=runner,
        catalogues=i18n.load(),
        statics=Statics(),
        lab_static=lab_static or LabStatic(config.storage.state / "lab-static"),
    )
    errors.install(app)
    app.include_router(api.router())
    for module in PAGES:
        app.include_router(module.router, include_in_schema=False)
    return app
