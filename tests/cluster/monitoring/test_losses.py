"""Each node loses its power in turn, while somebody watches the page: it goes on, and the dashboard's URL opens."""

from __future__ import annotations

import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.cluster import BOOT_SECONDS
from tests.cluster.measure import note, wait_until
from tests.cluster.monitoring.browser import Browser
from tests.cluster.monitoring.monitored import gaps, wait_for_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.monitoring.monitored import Monitored

SHOWN = 30.0  # seconds
OTHER_PARENT = 30.0  # seconds until the children of a lost parent stream to another one
IP_ALERT = 45.0
LOST_ALERT = 90.0
SERVICE_ALERT = 90.0  # with a parent just lost: for 20 s after a node came to it, a parent raises no alarm for it
FILLED = 60.0  # seconds until a parent that is back has the history of its absence
GUARDED = 120.0  # until a parent that is back has looked at all charts of all nodes
MOMENT = 3.0  # of values on their way when a parent loses its power
CHART = "system.uptime"


@pytest.fixture(scope="module")
def page(monitored: Monitored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Open the page at the floating IP, once for all losses."""
    browser = Browser(tmp_path_factory.mktemp("losses"))
    with browser:
        browser.open(monitored.cluster.virtual_ip, monitored.password)
        browser.wait_for("the page shows all nodes as live", SHOWN, lambda states: set(states.values()) == {"live"})
        yield browser
    asked = browser.requests()
    assert asked == {f"http://{monitored.cluster.virtual_ip}"}, f"objective: no request leaves the cluster: {asked}"


def opened(monitored: Monitored, lost: str) -> dict[str, Any]:
    """Return what `dashboard --json` says without `lost`, after the URL that it gives was opened."""
    result = monitored.cluster.cli("dashboard", "--json").expect(0)
    document = result.document
    assert monitored.opens(document["url"]), f"objective: the URL opens while {lost} is lost\n{result}"
    assert document["via"] == "virtual_ip", f"the floating IP is there while one node is lost\n{result}"
    return document


def goes_on(page: Browser, lost: str) -> None:
    """Fail unless the page shows `lost` as gone and new values of all others, without having been loaded again."""
    seconds = page.wait_for(
        f"the page shows {lost} as gone within {SHOWN:g} s, and all others as live",
        SHOWN,
        lambda states: (
            states[lost] in {"gone", "stale"} and {state for name, state in states.items() if name != lost} == {"live"}
        ),
    )
    note(f"page: {lost} without power is shown after", f"{seconds:.1f} s", f"{SHOWN:g} s")
    moved = page.moving(SHOWN)
    assert moved >= set(page.states()) - {lost}, f"values go on moving without {lost} within {SHOWN:g} s: {moved}"
    assert page.is_same(), f"objective: the page goes on without reload while {lost} is lost"


def comes_back(monitored: Monitored, page: Browser, lost: str) -> None:
    """Power `lost` on, and wait until everything is as before."""
    monitored.cluster.fault(lost, "power-on")
    page.wait_for(
        f"the page shows {lost} as live again {BOOT_SECONDS} s after power-on",
        BOOT_SECONDS,
        lambda states: set(states.values()) == {"live"},
    )
    wait_for_whole(monitored, f"after {lost} was powered on", BOOT_SECONDS)
    monitored.cluster.holder()
    assert page.is_same(), f"the page was not loaded again when {lost} came back"


def test_a_parent_is_lost_and_its_history_is_whole_when_it_is_back(monitored: Monitored, page: Browser) -> None:
    cluster, lost, other = monitored.cluster, "mgr1", "mgr2"
    struck, began = time.monotonic(), time.time()
    cluster.fault(lost, "power-off")
    seconds = wait_until(
        f"objective: {other} gets new values of all children within {OTHER_PARENT:g} s after {lost} lost its power",
        OTHER_PARENT,
        lambda: monitored.fresh(other, began + MOMENT) >= set(monitored.children),
        interval=0.5,
    )
    note(f"{lost} without power: all children stream to {other} after", f"{seconds:.1f} s", f"{OTHER_PARENT:g} s")
    goes_on(page, lost)
    opened(monitored, lost)
    status = monitored.status()
    assert status["nodes"][lost]["state"] == "gone", f"{lost} is gone: {status['nodes'][lost]}"
    assert {status["nodes"][child]["state"] for child in monitored.children} == {"live"}, status

    cluster.run("w1", "systemctl", "stop", "nexus-service-web")
    unhealthy = "/var/lib/nexus-status/unhealthy"
    cluster.run("w2", "sh", "-c", f"echo 302 >{unhealthy}")  # load balancers send it nothing: 2xx alone is well
    stopped = time.monotonic()
    down = partial(monitored.webhook.find, node="w1", alarm="nexus_service_down")
    wait_until("the webhook hears of the service while one parent is lost", SERVICE_ALERT, partial(down, since=stopped))
    alert = down(since=stopped)[0]
    assert "web" in alert.document["text"], f"the text names the service: {alert}"
    assert "w1" in alert.document["text"], f"the text names the node: {alert}"
    note("alert service down after", f"{alert.came - stopped:.1f} s", f"{SERVICE_ALERT:g} s")
    page.screenshot("service-down")
    redirecting = partial(monitored.webhook.find, node="w2", alarm="nexus_service_down", since=stopped)
    wait_until("the webhook hears of the one that redirects", SERVICE_ALERT, redirecting)
    assert "status" in redirecting()[0].document["text"], redirecting()
    cluster.run("w2", "rm", unhealthy)
    cluster.run("w1", "systemctl", "start", "nexus-service-web")
    wait_until("the webhook hears that it is back", SERVICE_ALERT, partial(down, since=stopped, status="clear"))

    find = partial(monitored.webhook.find, since=struck, node=lost, alarm="nexus_parent_lost", status="critical")
    wait_until("the webhook hears of the lost parent", LOST_ALERT - (time.monotonic() - struck), find)
    (alert, *more) = find()
    assert not more, f"once: {[str(one) for one in more]}"
    assert lost in alert.document["text"], f"the text names the parent: {alert}"
    note("alert parent lost after", f"{alert.came - struck:.1f} s", f"{LOST_ALERT:g} s")
    ended = time.time()
    comes_back(monitored, page, lost)
    gone = monitored.webhook.find(since=struck, alarm="nexus_node_gone")
    assert not gone, f"no node is said to be gone when a parent is lost: {[str(alert) for alert in gone]}"

    for child in monitored.children:
        missing: list[int] = []

        def whole(child: str = child, missing: list[int] = missing) -> bool:
            missing[:] = gaps(monitored.history(lost, child, CHART, began, ended), began, ended)
            return not missing

        try:
            wait_until(f"objective: {lost} has the history of {child} while it was away", FILLED, whole, interval=1)
        except AssertionError as error:
            raise AssertionError(f"{error}; of {ended - began:.0f} s there are none for {missing}") from None
    guard = partial(guarded_by_all, monitored)
    seconds = wait_until(f"parents have alarms for all nodes again after {lost} came back", GUARDED, guard, interval=1)
    note(f"{lost} back: alarms of all nodes are in force on both parents after", f"{seconds:.1f} s", f"{GUARDED:g} s")
    note(
        f"{lost} without power for {ended - began:.0f} s: seconds of the gap that are missing when it is back", "0", "0"
    )


def test_a_worker_is_lost(monitored: Monitored, page: Browser) -> None:
    monitored.cluster.fault("w1", "power-off")
    goes_on(page, "w1")
    opened(monitored, "w1")
    page.screenshot("worker-gone")
    comes_back(monitored, page, "w1")


def test_the_load_balancer_with_the_floating_ip_is_lost(monitored: Monitored, page: Browser) -> None:
    cluster = monitored.cluster
    lost = cluster.holder()
    (other,) = set(cluster.nodes("lb")) - {lost}
    struck = time.monotonic()
    cluster.fault(lost, "power-off")
    goes_on(page, lost)
    opened(monitored, lost)
    find = partial(monitored.webhook.find, since=struck, node=other, alarm="nexus_floating_ip_moved")
    wait_until(f"the webhook hears that {other} has the floating IP, in {IP_ALERT:g} s", IP_ALERT, find)
    alert = find()[0]
    assert other in alert.document["text"], f"the text names the node: {alert}"
    note("alert floating IP moved after", f"{alert.came - struck:.1f} s", f"{IP_ALERT:g} s")
    comes_back(monitored, page, lost)


def guarded_by_all(monitored: Monitored) -> bool:
    """Return whether every parent has alarms for every node."""
    return all(monitored.guarded(parent) == set(monitored.cluster.nodes()) for parent in monitored.parents)


@pytest.mark.parametrize("kind", ["the other parent", "the other load balancer", "the other worker"])
def test_the_url_opens_without(monitored: Monitored, page: Browser, kind: str) -> None:
    cluster = monitored.cluster
    lost = {"the other parent": "mgr2", "the other worker": "w2"}.get(kind)
    if lost is None:
        (lost,) = set(cluster.nodes("lb")) - {cluster.holder()}
    cluster.fault(lost, "power-off")
    page.wait_for(f"the page shows {lost} as gone", SHOWN, lambda states: states[lost] != "live")
    opened(monitored, lost)
    comes_back(monitored, page, lost)


@pytest.fixture
def without_load_balancers(monitored: Monitored) -> Iterator[None]:
    """Power all load balancers off for one test."""
    cluster = monitored.cluster
    for lb in cluster.nodes("lb"):
        cluster.fault(lb, "power-off")
    yield
    for lb in cluster.nodes("lb"):
        cluster.fault(lb, "power-on")
    wait_for_whole(monitored, "after both load balancers were powered on", BOOT_SECONDS)


@pytest.mark.usefixtures("without_load_balancers")
def test_without_any_load_balancer_a_tunnel_is_left(monitored: Monitored) -> None:
    cluster = monitored.cluster
    nowhere = cluster.cli("dashboard", "--json").expect(3)
    assert {attempt["via"] for attempt in nowhere.document["tried"]} >= {"virtual_ip", "lb"}, f"{nowhere}"
    assert all(attempt["reason"] for attempt in nowhere.document["tried"]), f"what was tried, and why not\n{nowhere}"
    assert nowhere.document["url"] is None
    tunnel = subprocess.Popen(
        cluster.cli.command("dashboard", "--tunnel", "--json"),
        cwd=cluster.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert tunnel.stdout is not None
        url, via = read_document(tunnel)
        assert via == "tunnel"
        assert monitored.opens(url), f"objective: {url} opens through ssh, no load balancer needed"
        tunnel.send_signal(signal.SIGINT)
        out, complaints = tunnel.communicate(timeout=10)
    finally:
        tunnel.kill()
    assert tunnel.returncode in {0, 130}, f"Ctrl-C ends it: {tunnel.returncode} {out} {complaints}"
    assert "Traceback" not in complaints
    assert not monitored.opens(url), "the tunnel is closed"


def read_document(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return `url` and `via` of the JSON document that a process prints before it goes on."""
    import json

    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        try:
            document = json.loads(text)
        except ValueError:
            continue
        return document["url"], document["via"]
    raise AssertionError(f"no document: {text}")
