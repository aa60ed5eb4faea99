"""A real Chromium without a window, as a person would open the dashboard with."""

from __future__ import annotations

import base64
import json
import shutil
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.cluster.measure import wait_until
from tests.cluster.monitoring.monitored import PAGE, USER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
)
DESKTOP = (1360, 900)
PHONE = (390, 844)

# Runs before anything of the page does.
WATCH = """
window.violations = [];
window.failures = [];
addEventListener('securitypolicyviolation', (event) => {
    violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
addEventListener('error', (event) => failures.push(String(event.message || event.target)), true);
addEventListener('unhandledrejection', (event) => failures.push(String(event.reason)));
"""

# What the page shows of each node.
TILES = """
return Object.fromEntries([...document.querySelectorAll('[data-node][data-state]')].map((tile) => [
    tile.dataset.node,
    {state: tile.dataset.state, figures: [...tile.querySelectorAll('.value')].map((value) => value.textContent)},
]));
"""

# How long each frame took while `seconds` went by; scrolls up and down all the while when asked to.
FRAMES = """
const [seconds, scroll, done] = arguments;
const deltas = [];
const started = performance.now();
let last = started, step = 20; // 1200 pixels a second
function frame(now) {
    deltas.push(now - last);
    last = now;
    if (scroll) {
        const before = scrollY;
        scrollBy({top: step, behavior: 'instant'});
        if (scrollY === before) { step = -step; }
    }
    if (now - started < seconds * 1000) { requestAnimationFrame(frame); } else { done(deltas.slice(1)); }
}
requestAnimationFrame(frame);
"""


class Browser:
    """Chromium with an empty profile, for the length of a `with` block."""

    def __init__(self, folder: Path, size: tuple[int, int] = DESKTOP, flags: Sequence[str] = ()) -> None:
        """Keep everything, the log of its network included, in `folder`; `flags` are further ones of Chromium's."""
        self.folder = folder
        self.flags = (*FLAGS, *flags)
        self.size = size
        self._log = folder / "network.json"
        self._driver: Chrome | None = None

    @property
    def driver(self) -> Chrome:
        """Return selenium's driver."""
        assert self._driver is not None
        return self._driver

    def __enter__(self) -> Self:
        """Start it."""
        program, driver = shutil.which("chromium"), shutil.which("chromedriver")
        assert program, "chromium is needed; tests/run installs it"
        assert driver, "chromium-driver is needed; tests/run installs it"
        options = ChromeOptions()
        options.binary_location = program
        width, height = self.size
        for flag in (*self.flags, f"--window-size={width},{height}", f"--user-data-dir={self.folder / 'profile'}"):
            options.add_argument(flag)
        options.add_argument(f"--log-net-log={self._log}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(60)
        self.driver.set_page_load_timeout(30)
        self.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; the log of its network is complete then."""
        if kind is not None:
            self.screenshot("failed")
        self.driver.quit()

    def command(self, name: str, **parameters: Any) -> Any:
        """Run a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns in the page."""
        return self.driver.execute_script(script, *arguments)

    # --- the page

    def open(self, address: str, password: str, scheme: str = "http") -> None:
        """Open the dashboard at `address`, and mark the page: `is_same` tells whether it was loaded again."""
        self.driver.get(f"{scheme}://{USER}:{password}@{address}{PAGE}")
        self.run("window.marked = true")

    def is_same(self) -> bool:
        """Return whether the page was not loaded again since it was opened."""
        return self.run("return window.marked === true") is True

    def tiles(self) -> dict[str, dict[str, Any]]:
        """Return for each node the `state` and the `figures` that the page shows."""
        found = self.run(TILES)
        assert isinstance(found, dict)
        return found

    def states(self) -> dict[str, str]:
        """Return the state that the page shows of each node."""
        return {name: tile["state"] for name, tile in self.tiles().items()}

    def wait_for(self, what: str, seconds: float, condition: Callable[[dict[str, str]], object]) -> float:
        """Return after how many seconds the shown states were as wanted; fails with a screenshot when they are not."""
        try:
            return wait_until(what, seconds, lambda: condition(self.states()), interval=0.25)
        except AssertionError as error:
            picture = self.screenshot("waited")
            raise AssertionError(f"{error}; the page shows {self.states()}; see {picture}") from None

    def moving(self, seconds: float) -> set[str]:
        """Return the nodes of which a figure changed within some seconds, once all did or the time is over."""
        before = self.tiles()
        moved: set[str] = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end and moved != set(before):
            time.sleep(0.5)
            moved |= {
                name
                for name, tile in self.tiles().items()
                if name in before and tile["figures"] != before[name]["figures"]
            }
        return moved

    def frames(self, seconds: float, *, scroll: bool = False) -> list[float]:
        """Return how long each frame took, in ms."""
        return sorted(self.driver.execute_async_script(FRAMES, seconds, scroll))

    def complaints(self) -> list[str]:
        """Return what went wrong in the page: violations of its policy, errors, and what the console says of them."""
        console = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        severe = [entry["message"] for entry in console if entry["level"] == "SEVERE"]
        return [*self.run("return [...violations, ...failures]"), *severe]

    # --- looks

    def look(self, *, dark: bool = False, phone: bool = False) -> None:
        """Show the page as to somebody who likes it dark, or has a phone."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[feature])
        if phone:
            width, height = PHONE
            self.command(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
            )
        else:
            self.command("Emulation.clearDeviceMetricsOverride")

    def screenshot(self, name: str) -> Path:
        """Save what is seen, and return where."""
        path = self.folder / f"{name}.png"
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))
        return path

    def accessible(self) -> list[tuple[str, str]]:
        """Return role and name of what a screen reader finds in the page."""
        tree = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree
            if not node["ignored"] and "role" in node
        ]

    # --- afterwards

    def requests(self) -> set[str]:
        """Return scheme, host and port of all that pages asked for; complete once the browser has ended.

        By the network log of the whole browser, so that workers and what was blocked are in it as well.
        """
        found = set()
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                event = json.loads(line.rstrip(","))
            except ValueError:
                continue
            about = event.get("params") if isinstance(event, dict) else None
            if not isinstance(about, dict) or "url" not in about or "://" not in str(about.get("initiator", "")):
                continue
            parts = urlsplit(about["url"])
            found.add(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
        return found
