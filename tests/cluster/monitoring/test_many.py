"""Two hundred simulated nodes stream into the real parents: what they cost there, and how the page bears them."""

from __future__ import annotations

import json
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.cluster.measure import note
from tests.cluster.monitoring.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.monitoring.monitored import Monitored

NODES = 200
FRAME = 50.0  # ms
FRAMES_SECONDS = 12.0
DESCRIPTION = "/usr/share/nexus-ops/dashboard/nexus.json"
SOURCE = "w2"
COSTLY = 20  # nodes with as many charts as a real child has, for what one costs on a parent
SETTLED = 20.0  # seconds
MEASURED = 20.0


def test_what_a_child_costs_on_a_parent(monitored: Monitored) -> None:
    parent = "mgr1"
    charts = monitored.ask(parent, "/host/w1/api/v1/charts")["charts"]
    dimensions = sum(len(chart["dimensions"]) for chart in charts.values())
    each = round(dimensions / len(charts))
    main_process = partial(monitored.cluster.run, parent, "systemctl", "show", "netdata", "--property=MainPID")
    first = main_process()
    before = monitored.usage(parent, MEASURED, "netdata")["netdata"]
    shape = ("--charts", str(len(charts) - 6), "--dimensions", str(each), "--prefix", "full-")
    process = monitored.simulate(SOURCE, COSTLY, *shape)
    try:
        time.sleep(SETTLED)
        after = monitored.usage(parent, MEASURED, "netdata")["netdata"]
    finally:
        monitored.end_simulation(SOURCE, process)
    assert main_process() == first, f"{parent}'s Netdata has run all the time"
    memory = (after["rss"] - before["rss"]) / COSTLY
    cpu = (after["cpu"] - before["cpu"]) / COSTLY
    note("parent with 6 nodes", f"RSS {before['rss']} MiB, {before['cpu']} % CPU")
    note(
        f"parent with {COSTLY} more, each {len(charts)} charts and {dimensions} dimensions",
        f"RSS {after['rss']} MiB, {after['cpu']} % CPU",
    )
    note("per child on a parent", f"{memory:.1f} MiB, {cpu:.2f} % CPU")
    assert memory < 16, f"a child costs a parent {memory:.1f} MiB"
    assert cpu < 1, f"a child costs a parent {cpu:.2f} % of a core"


@pytest.fixture(scope="module")
def crowd(monitored: Monitored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Stream 200 nodes, tell the page of them, and open it."""
    cluster = monitored.cluster
    names = [f"sim-{number:03}" for number in range(1, NODES + 1)]
    kept = {lb: cluster.run(lb, "cat", DESCRIPTION) for lb in cluster.nodes("lb")}
    process = monitored.simulate(SOURCE, NODES)
    browser = Browser(tmp_path_factory.mktemp("many"))
    try:
        for lb, text in kept.items():
            document = json.loads(text)
            document["nodes"] += [
                {"name": name, "address": f"198.51.100.{number}", "roles": ["worker"]}
                for number, name in enumerate(names, 1)
            ]
            monitored.write_on(lb, json.dumps(document), DESCRIPTION)
        with browser:
            browser.open(cluster.virtual_ip, monitored.password)
            yield browser
    finally:
        counted = monitored.end_simulation(SOURCE, process)
        for lb, text in kept.items():
            monitored.write_on(lb, text, DESCRIPTION)
        note("simulated nodes that lost their stream meanwhile", str(counted["lost"]))
    asked = browser.requests()
    assert asked == {f"http://{cluster.virtual_ip}"}, f"objective: no request leaves the cluster: {asked}"


def test_two_hundred_nodes_are_all_live_on_one_page(monitored: Monitored, crowd: Browser) -> None:
    count = NODES + len(monitored.cluster.nodes())
    seconds = crowd.wait_for(
        f"the page shows {count} nodes as live within 30 s",
        30,
        lambda states: len(states) == count and set(states.values()) == {"live"},
    )
    note(f"page: {count} nodes live after", f"{seconds:.1f} s", "30 s")
    crowd.screenshot("many")


@pytest.mark.parametrize("doing", ["watching", "scrolling"])
def test_frames_take_less_than_50_ms(crowd: Browser, doing: str) -> None:
    frames = crowd.frames(FRAMES_SECONDS, scroll=doing == "scrolling")
    p95 = frames[int(len(frames) * 0.95)]
    note(
        f"page: frame time at {NODES} nodes, {doing}, {len(frames)} frames",
        f"p50 {statistics.median(frames):.0f}, p95 {p95:.0f}, max {frames[-1]:.0f} ms",
        f"p95 under {FRAME:g} ms",
    )
    assert p95 < FRAME, (
        f"objective: frame time under {FRAME:g} ms while {doing}; p95 {p95:.1f}, max {frames[-1]:.1f} ms"
    )


def test_it_is_quick_to_find_one_of_them(crowd: Browser) -> None:
    crowd.run("""
        const search = document.querySelector('input[type=search]');
        search.value = 'sim-123';
        search.dispatchEvent(new Event('input', {bubbles: true}));
    """)
    shown = "return [...document.querySelectorAll('[data-node]')].filter((tile) => tile.offsetParent).length"
    assert crowd.run(shown) == 1, "the search leaves the one that was asked for"
    complaints = crowd.complaints()
    assert not complaints, f"no error, and nothing that the page's policy forbids: {complaints}"
