"""The cluster whose monitoring is under test: what its parents know, and what it shows to those outside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from tests.cluster.cluster import Cluster
from tests.cluster.measure import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cli import Result
    from tests.cluster.monitoring.webhook import Webhook

HERE = Path(__file__).parent
SIMULATOR = HERE.parent / "simulator.py"
USER = "admin"
STREAMS, READING = 19999, 19997  # the parents' ports for streams of nodes, and for who reads
PARENT_PORTS = (19997, 19998, 19999)
PAGE = "/nexus/"
API = "netdata/api/v1/info"


@dataclass
class Monitored:
    """A cluster with monitoring, and the webhook that its alerts go to."""

    cluster: Cluster
    webhook: Webhook
    first: Result
    lived_after: float  # seconds from the end of `monitor enable` until every node was live on every parent

    # --- nodes

    @property
    def parents(self) -> list[str]:
        """Return the names of the parents."""
        return self.cluster.nodes("manager")

    @property
    def children(self) -> list[str]:
        """Return the names of the other nodes."""
        return [node for node in self.cluster.nodes() if node not in self.parents]

    @cached_property
    def password(self) -> str:
        """Return the dashboard's password."""
        return (self.cluster.folder / "secrets/dashboard_password").read_text().strip()

    def monitor(self, command: str, *options: str) -> Result:
        """Run `nexus-ops monitor`."""
        return self.cluster.cli("monitor", command, *options)

    def status(self) -> dict[str, Any]:
        """Return what `monitor status --json` says."""
        result = self.monitor("status", "--json")
        assert result.code in {0, 1, 3}, f"monitor status says how it is\n{result}"
        return result.document

    def state(self, node: str) -> dict[str, Any]:
        """Return what `monitor status --json` says of one node."""
        found = self.status()["nodes"][node]
        assert isinstance(found, dict)
        return found

    def is_whole(self) -> bool:
        """Return whether every node is live on every parent."""
        return complete(self.status()["nodes"], self.parents)

    # --- the parents' API, asked on the parents themselves

    def ask(self, parent: str, path: str) -> Any:
        """Return what the API of a parent answers at `path`, None when it is no JSON or nothing at all."""
        script = (
            "import sys, urllib.request as u\n"
            f"print(u.urlopen('http://127.0.0.1:{STREAMS}{path}', timeout=5).read().decode())"
        )
        answer = self.cluster.run(parent, "python3", "-c", script, check=False)
        try:
            return json.loads(answer)
        except ValueError:
            return None

    def fresh(self, parent: str, since: float) -> set[str]:
        """Return the nodes of which a parent has values newer than `since` (epoch seconds), as Netdata itself says."""
        charts = {
            node: self.ask(parent, f"/host/{node}/api/v1/chart?chart=system.cpu") for node in self.cluster.nodes()
        }
        return {node for node, chart in charts.items() if (chart or {}).get("last_entry", 0) > since}

    def guarded(self, parent: str) -> set[str]:
        """Return the nodes that a parent has alarms for, load balancers with that of the floating IP."""
        found = set()
        for node in self.cluster.nodes():
            known = (self.ask(parent, f"/host/{node}/api/v1/alarms?all") or {}).get("alarms", {}).values()
            names = {alarm["name"] for alarm in known}
            wanted = "nexus_floating_ip_moved" if node in self.cluster.nodes("lb") else ""
            if any(name.startswith("nexus_") for name in names) and (not wanted or wanted in names):
                found.add(node)
        return found

    def history(self, parent: str, node: str, chart: str, begin: float, end: float) -> dict[int, list[Any]]:
        """Return the values that a parent has of a node's chart by second, both ends included."""
        first, last = int(begin) - 1, int(end)  # Netdata leaves out the first one
        span = f"after={first}&before={last}&points={last - first}"
        answer = self.ask(parent, f"/host/{node}/api/v1/data?chart={chart}&{span}&format=json&options=unaligned")
        return {row[0]: row[1:] for row in (answer or {}).get("data", ())}

    # --- the dashboard, as somebody outside sees it

    def addresses(self) -> dict[str, str]:
        """Return the addresses that the dashboard answers at, by what they are."""
        lbs = {lb: self.cluster.address(lb) for lb in self.cluster.nodes("lb")}
        return {"floating IP": self.cluster.virtual_ip, **lbs}

    def get(self, address: str, path: str = PAGE, **options: Any) -> requests.Response:
        """Return the answer at `path`; with the password unless `auth` says otherwise."""
        options = {"auth": (USER, self.password), "timeout": 5, "allow_redirects": False, **options}
        return requests.get(f"http://{address}{path}", **options)

    def opens(self, url: str) -> bool:
        """Return whether the page at `url` and the data behind it are there for who knows the password."""
        with requests.Session() as session:
            session.auth = (USER, self.password)
            session.trust_env = False
            try:
                page = session.get(url, timeout=5)
                api = json.loads(session.get(urljoin(url, "nexus.json"), timeout=5).text)["api"]
                data = session.get(urljoin(url, f"{api}api/v1/info"), timeout=5)
            except (requests.RequestException, ValueError):
                return False
        return page.status_code == 200 and data.status_code == 200 and "mirrored_hosts" in data.text

    # --- programs that run on nodes

    def start_on(self, node: str, script: Path, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python script on a node; it ends with the container's process, see `simulate`."""
        with script.open() as source:
            return subprocess.Popen(
                ["podman", "exec", "--interactive", self.cluster.container(node), "python3", "-", *arguments],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def write_on(self, node: str, text: str, path: str) -> None:
        """Write a file on a node; owner and mode of one that exists stay."""
        command = ["podman", "exec", "--interactive", self.cluster.container(node), "tee", path]
        subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL, timeout=30)

    def run_on(self, node: str, script: Path, *arguments: str, timeout: float = 120) -> Any:
        """Return the JSON document that a Python script prints on a node."""
        process = self.start_on(node, script, *arguments)
        out, complaints = process.communicate(timeout=timeout)
        assert out.strip(), f"{script.name} on {node} printed nothing: {complaints}"
        return json.loads(out)

    def simulate(self, node: str, nodes: int, *options: str) -> subprocess.Popen[str]:
        """Start to stream simulated nodes from `node`, and return once all of them stream."""
        process = self.start_on(node, SIMULATOR, "--nodes", str(nodes), *options)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line == f"streaming {nodes}\n", f"the simulator did not get {nodes} nodes accepted: {line}"
        return process

    def end_simulation(self, node: str, process: subprocess.Popen[str]) -> dict[str, Any]:
        """End it and return what it counted."""
        self.cluster.run(node, "pkill", "--full", "^python3 - --nodes")  # podman exec passes no signal on
        out, _ = process.communicate(timeout=20)
        document = json.loads(out)
        assert isinstance(document, dict)
        return document

    def usage(self, node: str, seconds: float, *units: str) -> dict[str, dict[str, float]]:
        """Return what systemd units on a node cost over some seconds, see usage.py."""
        found = self.run_on(node, HERE / "usage.py", str(seconds), *units, timeout=seconds + 30)
        assert isinstance(found, dict)
        return found


def complete(nodes: dict[str, Any], parents: list[str]) -> bool:
    """Return whether each of `nodes` (as in `monitor status --json`) is live on each of `parents`."""
    return all(
        node["state"] == "live"
        and {name for name, seen in node["parents"].items() if seen["state"] == "live"} == {*parents}
        for node in nodes.values()
    )


def all_live(nodes: list[str]) -> Callable[[dict[str, str]], bool]:
    """Return what tells whether the states that a page shows are those of `nodes` that are all well."""
    wanted = dict.fromkeys(nodes, "live")
    return lambda states: states == wanted


def scan(addresses: dict[str, str]) -> dict[str, list[int]]:
    """Return the TCP ports that accept connections from this machine, outside, by what the address belongs to."""

    def one(address: str) -> list[int]:
        command = [sys.executable, str(HERE / "scan.py"), address]
        return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(addresses, pool.map(one, addresses.values()), strict=True))


def gaps(history: dict[int, list[Any]], begin: float, end: float) -> list[int]:
    """Return the seconds between `begin` and `end` for which there is no value."""
    return [
        second for second in range(int(begin), int(end)) if all(value is None for value in history.get(second, [None]))
    ]


def wait_for_whole(monitored: Monitored, why: str, deadline: float) -> float:
    """Return after how many seconds every node was live on every parent; fails after `deadline` seconds."""
    start = time.monotonic()
    last: dict[str, Any] = {}

    def whole() -> bool:
        last.update(monitored.status()["nodes"])
        return complete(last, monitored.parents)

    try:
        wait_until(f"every node is live on every parent {why}", deadline, whole, interval=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {json.dumps(last, indent=1)}") from None
    return time.monotonic() - start


def each_state(nodes: dict[str, Any]) -> Iterator[str]:
    """Return one line for each node, for assertion messages."""
    return (f"{name}: {node['state']} {node['reason']}" for name, node in nodes.items())
