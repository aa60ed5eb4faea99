"""The clusters under test: booted once, used by many tests, and gone at the end, whatever happens."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.measure import FIGURES, MEASUREMENTS, Measurement, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cli import Result


def pytest_sessionstart() -> None:
    """Turn SIGTERM and SIGHUP into what Ctrl-C is: the fixtures then remove their hosts."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASUREMENTS:
        terminalreporter.section("what each fault cost (GETs: 100 fast and 8 slow a second, a new connection each)")
        terminalreporter.write_line(Measurement.heading())
        for measurement in MEASUREMENTS:
            terminalreporter.write_line(measurement.row())
    if FIGURES:
        terminalreporter.section("what the monitoring costs, and how soon it knows")
        for figure in FIGURES:
            terminalreporter.write_line(figure.row())


@contextmanager
def booted(kind: str, folder: pytest.TempPathFactory, *options: str) -> Iterator[Cluster]:
    """Boot a cluster's hosts for the length of a `with` block."""
    cluster = Cluster(kind, folder.mktemp(kind))
    try:
        cluster.cli("sandbox", "up", *options, timeout=600).expect(0)
        yield cluster
    finally:
        cluster.cli("sandbox", "down", "--purge", "--yes", timeout=120).expect(0)


def systems(*newer: str) -> list[str]:
    """Return the options that boot the hosts `newer` with Debian 13; $NEXUS_TEST_SYSTEM is for all hosts."""
    everywhere = os.environ.get("NEXUS_TEST_SYSTEM")
    if everywhere:
        return ["--system", everywhere]
    return [word for node in newer for word in ("--system-of", f"{node}=debian-13")]


def installed(cluster: Cluster, *bootstrap: str) -> Result:
    """Bootstrap and apply, as a newcomer would, and wait until the services answer. Returns the first apply."""
    cluster.describe_services()
    cluster.cli("bootstrap", "--yes", *bootstrap).expect(0)
    result = cluster.cli("apply", "ha", "--yes", "--json").expect(0)
    wait_until("every worker answers after the first apply", 15, cluster.all_workers_answer)
    return result


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A manager, two load balancers and three workers, reached as root: half of them Debian 13, one of each role."""
    with booted("six", tmp_path_factory, *systems("lb2", "w2", "w3")) as cluster:
        cluster.first_apply = installed(cluster)
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts that are manager, load balancer and worker each, reached as `ops`, one of them on ssh port 2222."""
    with booted(
        "three", tmp_path_factory, "--all-in-one", "3", "--ssh-user", "ops", "--ssh-port-of", "n3=2222"
    ) as cluster:
        cluster.first_apply = installed(cluster, "--user", "root")
        yield cluster


@pytest.fixture
def whole_six(six: Cluster) -> Cluster:
    """Return the cluster of six once every worker answers: a test must not pay for the one before it."""
    wait_until("every worker answers before the test", 30, six.all_workers_answer)
    return six
