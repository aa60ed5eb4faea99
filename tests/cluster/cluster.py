"""A cluster of real hosts under test: made and operated through the command line, looked into through podman."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import socket
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.cli import Cli
from tests.cluster.measure import GETS, KEYED_POSTS, MEASUREMENTS, MIX, POSTS, Measurement, RunningLoad, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.cli import Result
    from tests.cluster.load import Stream
    from tests.cluster.measure import Report

APP = Path(__file__).with_name("app")
WEB_PORT, STATUS_PORT = 8080, 8081
STATUS_DOMAIN = "status.example.com"
BOOT_SECONDS = 60  # deadline for a host that was powered on to be whole again


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(int(sys.argv[2]))
"""
ASK_CADDY = """
import http.client, socket
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.settimeout(5)
connection.sock.connect("/run/caddy/admin.sock")
connection.request("GET", "/{path}", headers={{"Host": ""}})
print(connection.getresponse().read().decode())
"""


class Cluster:
    """Hosts of one sandbox, and the environment that describes them, in a project folder of its own."""

    def __init__(self, kind: str, project: Path) -> None:
        """Choose a name that nobody else uses; nothing is made yet."""
        self.kind = kind
        self.name = f"{kind}-{secrets.token_hex(3)}"
        self.cli = Cli(project, self.name)
        self.project = project
        self.folder = project / "inventories" / self.name
        self.first_apply: Result | None = None
        (project / "inventories").mkdir(parents=True)

    # --- the environment

    @property
    def intent_file(self) -> Path:
        """Return the path of nexus.yml."""
        return self.folder / "nexus.yml"

    @property
    def intent(self) -> dict[str, Any]:
        """Return what nexus.yml says."""
        document = yaml.safe_load(self.intent_file.read_text())
        assert isinstance(document, dict)
        return document

    def write(self, intent: dict[str, Any]) -> None:
        """Write nexus.yml."""
        self.intent_file.write_text(yaml.safe_dump(intent, sort_keys=False))

    @contextmanager
    def with_response_timeout(self, duration: str) -> Iterator[None]:
        """Change what Caddy's file says of the service `web`, and nothing else, for the length of a `with` block."""
        before = self.intent_file.read_bytes()
        intent = self.intent
        intent["services"]["web"]["response_timeout"] = duration
        self.write(intent)
        try:
            yield
        finally:
            self.intent_file.write_bytes(before)

    def nodes(self, role: str | None = None) -> list[str]:
        """Return the names of the nodes that carry `role`, by default all."""
        return [name for name, node in self.intent["nodes"].items() if role is None or role in node["roles"]]

    def address(self, node: str) -> str:
        """Return a node's address."""
        return str(self.intent["nodes"][node]["address"])

    @property
    def virtual_ip(self) -> str:
        """Return the floating IP."""
        return str(self.intent["ha"]["virtual_ip"]).partition("/")[0]

    def describe_services(self) -> None:
        """Put two services into nexus.yml: one without a domain on every worker, one with a domain on two."""
        shutil.copytree(APP, self.folder / "apps/web", ignore=shutil.ignore_patterns("__pycache__"))
        status = {**service("status", STATUS_PORT), "domain": STATUS_DOMAIN, "nodes": self.nodes("worker")[:2]}
        self.write({**self.intent, "services": {"web": service("web", WEB_PORT), "status": status}})

    # --- the hosts

    def container(self, node: str) -> str:
        """Return the name of a node's container."""
        return f"nexus-{self.name}-{node}"

    def run(self, node: str, *command: str, check: bool = True) -> str:
        """Return what `command` prints on a node; fails when it fails, unless `check` is off."""
        done = subprocess.run(
            ["podman", "exec", self.container(node), *command], capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, f"on {node}: {' '.join(command)}: {done.stderr or done.stdout}"
        return done.stdout

    def succeeds(self, node: str, *command: str) -> bool:
        """Return whether `command` exits with 0 on a node."""
        done = subprocess.run(
            ["podman", "exec", self.container(node), *command], capture_output=True, check=False, timeout=60
        )
        return done.returncode == 0

    def run_from(self, node: str, script: str) -> str:
        """Return what a Python script prints on a node."""
        return self.run(node, "python3", "-c", script)

    def hold(self, node: str, lock: str, seconds: int) -> None:
        """Let another program work with packages on a node for a while: it has `lock`."""
        self.run(node, "systemd-run", "--unit=foreign-apt", "python3", "-c", HOLD, lock, str(seconds))

    def fault(self, node: str, kind: str) -> None:
        """Do something bad to a node, or undo it: power-off, power-on, cut, heal, freeze, thaw."""
        self.cli("sandbox", "fault", node, kind).expect(0)

    def holders(self) -> list[str]:
        """Return the load balancers that have the floating IP, of those that can be asked."""
        wanted = f" {self.virtual_ip}/"
        return [lb for lb in self.nodes("lb") if wanted in self.run(lb, "ip", "-o", "address", "show", check=False)]

    def holder(self) -> str:
        """Return the load balancer that holds the floating IP; fails unless exactly one does within 10 s."""
        wait_until("exactly one load balancer holds the floating IP", 10, lambda: len(self.holders()) == 1)
        return self.holders()[0]

    def main_process(self, node: str, port: int) -> str:
        """Return the id of the process that listens on `port` of a node."""
        listing = self.run(node, "ss", "-Hltnp", f"sport = :{port}")
        assert "pid=" in listing, f"nothing listens on port {port} of {node}"
        return listing.partition("pid=")[2].partition(",")[0]

    def config_loaded(self, lb: str) -> float:
        """Return when (epoch seconds) Caddy on `lb` last loaded a configuration."""
        for line in self._ask_caddy(lb, "metrics").splitlines():
            if line.startswith("caddy_config_last_reload_success_timestamp_seconds "):
                return float(line.split()[1])
        raise AssertionError(f"Caddy on {lb} does not say when it loaded its configuration")

    def running_configuration(self, lb: str) -> str:
        """Return the configuration that Caddy on `lb` runs with, as JSON text."""
        return self._ask_caddy(lb, "config/")

    def _ask_caddy(self, lb: str, path: str) -> str:
        return self.run_from(lb, ASK_CADDY.format(path=path))

    # --- as a client sees it

    def get(self, path: str = "/", *, host: str = "", address: str = "") -> dict[str, Any] | None:
        """Return a service's answer through the floating IP (or `address`), None when there is no good one in 3 s."""
        connection = http.client.HTTPConnection(address or self.virtual_ip, 80, timeout=3)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            response = connection.getresponse()
            document = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return document if response.status == 200 and isinstance(document, dict) else None

    def reachable(self, address: str, port: int, *, node: str = "") -> bool:
        """Return whether a TCP connection to `address` is accepted within 2 s: from here, outside, or from `node`."""
        if node:
            script = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
            return self.succeeds(node, "python3", "-c", script)
        try:
            socket.create_connection((address, port), 2).close()
        except OSError:
            return False
        return True

    def answering(self, *, host: str = "", address: str = "", requests: int = 24) -> set[str]:
        """Return which workers answer some requests."""
        answers = (self.get(host=host, address=address) for _ in range(requests))
        return {answer["host"] for answer in answers if answer}

    def all_workers_answer(self) -> bool:
        """Return whether every worker answers through the floating IP."""
        return self.answering() == set(self.nodes("worker"))

    def load(self, streams: Sequence[Stream] = MIX, *, keep_alive: bool = False) -> RunningLoad:
        """Return a load through the floating IP, to be used in a `with` statement."""
        return RunningLoad(self.virtual_ip, streams=streams, keep_alive=keep_alive)

    def processed(self) -> Counter[str]:
        """Return how often each POST was processed, over all workers, by id."""
        counts: Counter[str] = Counter()
        for node in self.nodes("worker"):
            journals = self.run(node, "find", "/var/lib", "-name", "posts.jsonl", "-exec", "cat", "{}", "+")
            counts.update(json.loads(line)["id"] for line in journals.splitlines())
        return counts

    def record(self, fault: str, report: Report, recovered: float | None = None, *, since: float = 0) -> Measurement:
        """Return what a load measured, after adding it to the table at the end of the session."""
        processed = self.processed()

        def twice(streams: Sequence[Stream]) -> int:
            return sum(processed[outcome.id] > 1 for outcome in report.of(streams))

        measurement = Measurement(
            cluster=self.kind,
            fault=fault,
            gets=report.summary(GETS, since=since),
            posts=report.summary(POSTS, since=since),
            keyed_posts=report.summary(KEYED_POSTS, since=since),
            posts_run_twice=twice(POSTS),
            keys_run_twice=twice(KEYED_POSTS),
            recovered=recovered,
        )
        MEASUREMENTS.append(measurement)
        lost = [o.id for o in report.of((*POSTS, *KEYED_POSTS)) if o.error is None and not processed[o.id]]
        assert not lost, f"answered with success, but no worker has a record of them: {lost}"
        return measurement


def service(name: str, port: int) -> dict[str, Any]:
    """Return how nexus.yml describes a service that is the program in app/."""
    return {
        "source": {"path": "apps/web"},
        "command": "python3 server.py",
        "port": port,
        "env": {"SERVICE_NAME": name},
        "health": {"path": "/healthz", "interval": "500ms", "timeout": "1s"},
        "drain_timeout": "5s",
        "response_timeout": "2s",
    }
