"""What the gate counts of itself, in the text format of Prometheus."""

from __future__ import annotations

BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Measure:
    """Plain counters: the gate has one thread."""

    def __init__(self) -> None:
        self.passed = 0
        self.redirected = 0
        self.refused: dict[str, int] = {}
        self.connections = 0
        self.writes = 0
        self.failed_writes = 0
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    def seconds(self, taken: float) -> None:
        self._sum += taken
        place = 0
        for limit in BUCKETS:
            if taken <= limit:
                break
            place += 1
        self._buckets[place] += 1

    def text(self, reads: int) -> str:
        """Everything; `reads` is how often the database was really asked."""
        name = "terakoya_gate_decisions_total"
        lines = [f"# HELP {name} Requests decided on, by outcome.", f"# TYPE {name} counter"]
        lines += [f'{name}{{outcome="passed",code=""}} {self.passed}']
        lines += [f'{name}{{outcome="redirected",code=""}} {self.redirected}']
        lines += [f'{name}{{outcome="refused",code="{code}"}} {count}' for code, count in sorted(self.refused.items())]
        lines += self._histogram()
        lines += _metric("terakoya_gate_connections", "gauge", "Connections of the edge.", self.connections)
        lines += _metric("terakoya_gate_database_reads_total", "counter", "Questions to the database.", reads)
        lines += _metric("terakoya_gate_activity_writes_total", "counter", "Activity written.", self.writes)
        lines += _metric(
            "terakoya_gate_activity_failures_total", "counter", "Activity not written.", self.failed_writes
        )
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name = "terakoya_gate_seconds"
        lines = [f"# HELP {name} Time from a question to its answer.", f"# TYPE {name} histogram"]
        total = 0
        for limit, count in zip((*BUCKETS, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{limit}"}} {total}')
        return [*lines, f"{name}_sum {self._sum:.6f}", f"{name}_count {total}"]


def _metric(name: str, kind: str, about: str, value: int) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {value}"]
