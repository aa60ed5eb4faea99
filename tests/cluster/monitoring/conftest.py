"""One cluster for all tests of the monitoring, and their order: those that break something come last."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import booted, installed
from tests.cluster.monitoring.monitored import Monitored, wait_for_whole
from tests.cluster.monitoring.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ORDER = (
    "test_enabled",
    "test_cost",
    "test_access",
    "test_page",
    "test_losses",
    "test_faults",
    "test_many",
    "test_removal",
)
LIVE_SECONDS = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of this folder in their order; all other tests stay where they are."""
    places = [index for index, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[index] for index in places), key=lambda item: ORDER.index(item.path.stem))
    for index, item in zip(places, ordered, strict=True):
        items[index] = item


@pytest.fixture(scope="package")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Two managers, two load balancers and two workers, with two services and monitoring, its alerts going to us."""
    with booted("watch", tmp_path_factory, "--managers", "2", "--lbs", "2", "--workers", "2") as cluster:
        gateway = next(ipaddress.ip_network(f"{cluster.address('w1')}/24", strict=False).hosts())
        with Webhook(str(gateway)) as webhook:
            cluster.first_apply = installed(cluster)
            cluster.write({**cluster.intent, "monitoring": {"alerts": {"webhook": webhook.url}}})
            first = cluster.cli("monitor", "enable", "--yes", "--json").expect(0)
            monitored = Monitored(cluster, webhook, first, time.monotonic())
            monitored.lived_after = wait_for_whole(monitored, "after the first monitor enable", LIVE_SECONDS)
            yield monitored
