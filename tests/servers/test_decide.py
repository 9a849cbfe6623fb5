import pytest

from terakoya.backends.base import Report
from terakoya.db.models import Server, User
from terakoya.servers.decide import decide

NOW = 1000.0
RUNS = Report("k", "running", "127.0.0.1:1")
STARTS = Report("k", "starting", "127.0.0.1:1")
EXITED = Report("k", "exited", reason="it ended")


@pytest.mark.parametrize(
    ("state", "wish", "claim", "disabled", "report", "deed"),
    [
        ("stopped", "stopped", None, False, None, "nothing"),
        ("stopped", "running", None, False, None, "start"),
        ("stopped", "running", None, True, None, "nothing"),
        ("failed", "stopped", None, False, None, "nothing"),
        ("failed", "running", None, False, None, "start"),
        ("starting", "running", NOW + 1, False, None, "nothing"),
        ("starting", "running", NOW + 1, False, EXITED, "nothing"),
        ("starting", "running", NOW - 1, False, None, "resume"),
        ("starting", "running", None, False, STARTS, "resume"),
        ("starting", "running", None, False, RUNS, "resume"),
        ("starting", "running", None, False, EXITED, "note exit"),
        ("starting", "stopped", NOW + 1, False, STARTS, "stop"),
        ("starting", "running", NOW + 1, True, STARTS, "stop"),
        ("running", "running", None, False, RUNS, "nothing"),
        ("running", "running", None, False, STARTS, "nothing"),
        ("running", "running", None, False, EXITED, "note exit"),
        ("running", "running", None, False, None, "note lost"),
        ("running", "stopped", None, False, RUNS, "stop"),
        ("running", "stopped", None, False, None, "stop"),
        ("running", "running", None, True, RUNS, "stop"),
        ("stopping", "stopped", NOW + 1, False, RUNS, "nothing"),
        ("stopping", "stopped", NOW - 1, False, RUNS, "finish stop"),
        ("stopping", "running", NOW - 1, False, None, "finish stop"),
    ],
)
def test_what_is_done(state, wish, claim, disabled, report, deed):
    user = User(name="alice", disabled_at=1.0 if disabled else None)
    assert decide(Server(state=state, wish=wish, claim_until=claim, user=user), report, NOW) == deed
