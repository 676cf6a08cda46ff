"""What a gateway counts, in Prometheus' text form; the names are those of Azure Monitor's metrics for online endpoints.

Counting is a few additions a request; prometheus_client only writes the page, when somebody asks for it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)  # seconds
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Counts:
    """What one deployment has answered: by status, and in how many seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))  # the last has no upper bound
    seconds: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


@dataclass(frozen=True)
class Deployed:
    """One deployment in this moment."""

    counts: Counts
    in_flight: int
    instances: int


def preload() -> None:
    """Import what writes the page, which takes a moment."""
    import prometheus_client  # noqa: F401


@dataclass(frozen=True, eq=False)  # a registry keeps it by its identity
class Snapshot:
    """A gateway in this moment. answers: all that clients were given, by status; lag: seconds."""

    endpoint: str
    deployments: Mapping[str, Deployed]
    answers: Mapping[int, int]
    connections: int
    records: int
    record_failures: int
    lag: float

    def page(self) -> bytes:
        """All of it as Prometheus reads it."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Any]:
        """prometheus_client's Collector protocol."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        prefix, label = "azureml_endpoint_", [self.endpoint]
        requests = CounterMetricFamily(
            f"{prefix}requests",
            "Requests that a deployment was given, mirrored ones too, by what became of them.",
            labels=["endpoint", "deployment", "status_code"],
        )
        latency = HistogramMetricFamily(
            f"{prefix}request_latency_seconds",
            "From a request's arrival until its answer was on record and left.",
            labels=["endpoint", "deployment"],
        )
        in_flight = GaugeMetricFamily(
            f"{prefix}requests_in_flight", "Requests that wait for an answer.", labels=["endpoint", "deployment"]
        )
        instances = GaugeMetricFamily(
            f"{prefix}instances_ready", "Instances that take requests.", labels=["endpoint", "deployment"]
        )
        for name, deployed in self.deployments.items():
            for status, number in sorted(deployed.counts.statuses.items()):
                requests.add_metric([*label, name, str(status)], number)
            latency.add_metric([*label, name], _cumulative(deployed.counts.buckets), deployed.counts.seconds)
            in_flight.add_metric([*label, name], deployed.in_flight)
            instances.add_metric([*label, name], deployed.instances)
        answers = CounterMetricFamily(
            f"{prefix}answers",
            "Answers to clients, also those that no deployment gave (400, 401, 404, ...).",
            labels=["endpoint", "status_code"],
        )
        for status, number in sorted(self.answers.items()):
            answers.add_metric([*label, str(status)], number)
        yield from (answers, requests, latency, in_flight, instances)
        for name, help, number in (
            ("data_collection_events", "Records written to the collections.", self.records),
            ("data_collection_errors", "Times that the system or the disk did not take records.", self.record_failures),
        ):
            counter = CounterMetricFamily(prefix + name, help, labels=["endpoint"])
            counter.add_metric(label, number)
            yield counter
        for name, help, value in (
            ("connections_active", "Connections of clients.", self.connections),
            ("record_lag_seconds", "For how long the disk has lacked records that are written.", self.lag),
        ):
            gauge = GaugeMetricFamily(prefix + name, help, labels=["endpoint"])
            gauge.add_metric(label, value)
            yield gauge


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total, cumulative = 0, []
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
        total += number
        cumulative.append((bound, float(total)))
    return cumulative
