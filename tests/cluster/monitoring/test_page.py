"""The dashboard in a real Chromium: what it shows, to whom, and that nothing of it leaves the cluster."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.cluster.measure import wait_until
from tests.cluster.monitoring.browser import PHONE, Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.monitoring.monitored import Monitored

SHOWN = 15.0  # seconds
UNKNOWN = "\N{EN DASH}"
CONTROLS = {"button", "link", "searchbox", "textbox", "combobox", "checkbox", "radio", "tab", "dialog"}


@pytest.fixture(scope="module")
def page(monitored: Monitored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Open the page at the floating IP; in the end, nothing may have been asked for elsewhere."""
    browser = Browser(tmp_path_factory.mktemp("page"))
    with browser:
        browser.open(monitored.cluster.virtual_ip, monitored.password)
        browser.wait_for("the page shows all nodes as live", SHOWN, lambda states: set(states.values()) == {"live"})
        yield browser
    asked = browser.requests()
    assert asked == {f"http://{monitored.cluster.virtual_ip}"}, f"objective: no request leaves the cluster: {asked}"


def test_all_nodes_are_live_and_their_values_move(monitored: Monitored, page: Browser) -> None:
    assert page.states() == dict.fromkeys(monitored.cluster.nodes(), "live")
    moved = page.moving(SHOWN)
    assert moved == set(monitored.cluster.nodes()), f"values of every node move within {SHOWN:g} s, but only of {moved}"
    for name, tile in page.tiles().items():
        assert UNKNOWN not in tile["figures"], f"each figure of {name} is there: {tile['figures']}"


def healthy_on(page: Browser, service: str, workers: list[str]) -> bool:
    """Return whether the page shows a service as healthy on these workers and no others."""
    rows = page.driver.find_elements(By.CSS_SELECTOR, f"[data-service={service}] [data-kind=good][data-worker]")
    return {row.get_attribute("data-worker") for row in rows} == set(workers)


def upstreams_of(page: Browser, lb: str, workers: list[str]) -> bool:
    """Return whether the page shows all these workers as upstreams of a load balancer, in good health."""
    chips = page.driver.find_elements(By.CSS_SELECTOR, f"[data-lb={lb}] .chip[data-kind=good]")
    return {chip.text.split()[0] for chip in chips} == set(workers)


def test_services_load_balancers_and_the_holder_are_shown(monitored: Monitored, page: Browser) -> None:
    cluster = monitored.cluster
    holder = cluster.holder()
    for name, service in cluster.intent["services"].items():
        workers = service.get("nodes", cluster.nodes("worker"))
        wait_until(f"the page shows {name} as healthy on {workers}", SHOWN, partial(healthy_on, page, name, workers))
        card = page.driver.find_element(By.CSS_SELECTOR, f"[data-service={name}]").text
        release = cluster.run(workers[0], "readlink", f"/opt/nexus/{name}/current").strip().rpartition("/")[2]
        assert release in card, f"the release of {name} is shown: {release}: {card}"
    for lb in cluster.nodes("lb"):
        wait_until(
            f"the page shows the upstreams of {lb}", SHOWN, partial(upstreams_of, page, lb, cluster.nodes("worker"))
        )
        card = page.driver.find_element(By.CSS_SELECTOR, f"[data-lb={lb}]").text
        assert ("holds the floating IP" in card) == (lb == holder), (
            f"{holder} holds the floating IP, {lb} shows: {card}"
        )


def test_the_keyboard_reaches_a_node_opens_it_and_leaves_it(monitored: Monitored, page: Browser) -> None:
    focused = "const tile = document.activeElement.closest('[data-node]'); return tile ? tile.dataset.node : ''"
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(40):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        node = page.run(focused)
        if node:
            break
    else:
        pytest.fail("40 times Tab do not lead to a node")
    seen = "return getComputedStyle(document.activeElement.closest('[data-node]')).outlineStyle"
    assert page.run(seen) != "none", "the focus is seen"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    opened = "const dialog = document.querySelector('dialog[open]'); return dialog ? dialog.innerText : ''"
    wait_until(f"Enter opens {node}", 5, lambda: node in page.run(opened))
    wait_until(
        f"the charts of {node} are drawn",
        10,
        lambda: page.run("return document.querySelectorAll('dialog canvas').length") >= 3,
    )
    page.screenshot("detail")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait_until("Esc closes it", 5, lambda: page.run(opened) == "")
    wait_until(f"the focus is back at {node}", 5, lambda: page.run(focused) == node)


def test_a_screen_reader_finds_names_for_everything(monitored: Monitored, page: Browser) -> None:
    found = page.accessible()
    nameless = [role for role, name in found if role in CONTROLS and not name.strip()]
    assert not nameless, f"everything that can be operated has a name: {nameless}"
    names = [name for _, name in found]
    for node in monitored.cluster.nodes():
        assert any(node in name and "live" in name for name in names), f"the state of {node} can be heard"
    headings = [name for role, name in found if role == "heading"]
    assert len(headings) >= 4, f"headings lead through the page: {headings}"


@pytest.mark.parametrize("look", ["light", "dark", "phone light", "phone dark"])
def test_the_page_fits_and_is_readable(page: Browser, look: str) -> None:
    page.run("scrollTo(0, 0)")
    page.look(dark="dark" in look, phone="phone" in look)
    time.sleep(2.5)
    path = page.screenshot(look.replace(" ", "-"))
    background, ink = page.run(
        "const colour = (element, name) => getComputedStyle(element)[name];"
        "return [colour(document.documentElement, 'backgroundColor'), colour(document.body, 'color')]"
    )
    wide, width = page.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.look()
    assert wide <= width, f"nothing is wider than the screen ({width} px), see {path}"
    if "phone" in look:
        assert width <= PHONE[0]
    assert (brightness(background) < brightness(ink)) == ("dark" in look), f"{look}: {ink} on {background}, see {path}"


def brightness(colour: str) -> float:
    """Return the sum of the parts of a CSS colour, `rgb(1, 2, 3)`."""
    return sum(float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])


def test_the_full_charts_of_a_node_are_one_step_away(monitored: Monitored, page: Browser) -> None:
    link = page.driver.find_element(By.CSS_SELECTOR, "[data-node=w1] a[target]").get_attribute("href")
    assert link is not None
    path = link.partition(monitored.cluster.virtual_ip)[2]
    answer = monitored.get(monitored.cluster.virtual_ip, path)
    assert answer.status_code == 200, f"Netdata's own page of w1 is at {path}: {answer.status_code}"
    policy = answer.headers["content-security-policy"]
    assert "'self'" in policy, f"nothing from outside is loaded there either: {policy}"
    assert "http" not in policy, f"nothing from outside is loaded there either: {policy}"


def test_memory_is_the_same_whether_netdata_collects_it_in_bytes_or_in_kib(page: Browser) -> None:
    shown = page.run(
        """
        const text = (version, used) =>
          `netdata_info{instance="w1",application="netdata",version="${version}"} 1 1000\n` +
          ["used", "free"].map((dimension) =>
            `netdata_ram{chart="system.ram",dimension="${dimension}",instance="w1"} ${used} 1000\n`).join("");
        return import(new URL("metrics.js", location).href).then(({parseMetrics, sampleOf}) =>
          [["v2.11.0", 2 ** 30], ["1.37.1", 2 ** 20]].map(([version, used]) =>
            sampleOf(parseMetrics(text(version, used)).hosts.get("w1")).memoryTotal));
        """
    )
    assert shown == [2**31, 2**31]


def test_nothing_went_wrong_in_the_page(page: Browser) -> None:
    assert page.is_same(), "the page was not loaded again"
    complaints = page.complaints()
    assert not complaints, f"no error, and nothing that the page's policy forbids: {complaints}"
