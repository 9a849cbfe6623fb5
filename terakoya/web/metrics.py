"""What a monitoring system reads from `/hub/metrics`, counted in the database at that moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import func, select

from terakoya import __version__
from terakoya.db.engine import Database
from terakoya.db.models import Server, Session, User

STATES = ("stopped", "starting", "running", "stopping", "failed")


class Counts:
    """A prometheus collector over the tables."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def collect(self) -> Iterator[Metric]:
        with self.db.reading() as session:
            users = session.scalar(select(func.count()).select_from(User).where(User.disabled_at.is_(None)))
            signed_in = select(func.count()).select_from(Session)
            sessions = session.scalar(signed_in.where(Session.host == "", Session.expires_at > time.time()))
            counted = session.execute(select(Server.state, func.count()).group_by(Server.state))
            by_state: dict[str, int] = {row[0]: row[1] for row in counted}
            sums = select(func.sum(Server.kernels), func.sum(Server.kernels_busy), func.sum(Server.cpu))
            kernels, busy, cpu = session.execute(sums).one()
            memory = session.scalar(select(func.sum(Server.memory)))
        yield InfoMetricFamily("terakoya", "The version that runs.", value={"version": __version__})
        yield GaugeMetricFamily("terakoya_users", "Users that may enter.", value=users or 0)
        yield GaugeMetricFamily("terakoya_sessions", "Signed-in browsers.", value=sessions or 0)
        yield GaugeMetricFamily("terakoya_kernels", "Kernels of all servers.", value=kernels or 0)
        yield GaugeMetricFamily("terakoya_kernels_busy", "Kernels that compute.", value=busy or 0)
        yield GaugeMetricFamily("terakoya_servers_cpu_cores", "Processors that servers use.", value=cpu or 0)
        yield GaugeMetricFamily("terakoya_servers_memory_bytes", "Memory that servers use.", value=memory or 0)
        servers = GaugeMetricFamily("terakoya_servers", "Servers by state.", labels=["state"])
        for state in STATES:
            servers.add_metric([state], by_state.get(state, 0))
        yield servers


def exposition(db: Database) -> bytes:
    """The metrics in prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Counts(db))
    return generate_latest(registry)
