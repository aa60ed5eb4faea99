"""What is measured. Each measure returns its rows; runs of those that are compared take turns."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.peers import write_files, write_playbook, write_pyinfra
from tests.bench.resources import ROOT, read_resources
from tests.bench.timing import Sample, timed
from tests.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.prefix) / "bin"
STARTS = 10  # in a row, per turn
RELEASE_BYTES = 20 * 1024 * 1024
SIZES = (5, 10, 20, 40)
FORESEEN = 200  # nodes
LIMITS = {
    "bare ansible-playbook": 1.05,
    "task by task, Ansible's defaults": 0.12,
    "task by task, mitogen": 0.4,
    "pyinfra": 1.0,
}
Runs = dict[str, list[Sample]]


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured (`value` in `unit`), and beside what, where there is a limit."""

    measure: str
    value: float
    unit: str = "s"
    own: float | None = None
    others: float | None = None
    ratio: float | None = None
    beside: str = ""
    limit: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether it is within its limit, None when it has none. The limit is for the ratio where there is one."""
        if self.limit is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.limit


def compared(measure: str, runs: Runs, name: str, beside: str, limit: float | None = None) -> Row:
    """Return the row for the medians of `name` over those of `beside`."""
    mine, other = Sample.median(runs[name]), Sample.median(runs[beside])
    return Row(measure, mine.wall, "s", mine.own, mine.others, mine.wall / other.wall, beside, limit)


def plain(measure: str, samples: list[Sample], limit: float | None = None) -> Row:
    """Return the row of the medians by themselves."""
    median = Sample.median(samples)
    return Row(measure, median.wall, "s", median.own, median.others, limit=limit)


def take_turns(rounds: int, contenders: Mapping[str, Callable[[], Sample]]) -> Runs:
    """Run each of `contenders` once a round, in an order that changes."""
    runs: Runs = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            sample = contenders[name]()
            runs[name].append(sample)
            say(f"{name}: {sample.wall:.2f} s")
    return runs


def say(text: str) -> None:
    """Tell the person what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)  # noqa: T201


# --- hosts


@contextmanager
def cluster_of(kind: str, *options: str) -> Iterator[Cluster]:
    """Boot bare hosts for the length of a `with` block, described with two services and monitoring."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench."))
    cluster = Cluster(kind, folder / kind)
    try:
        say(f"booting hosts: {' '.join(options)}")
        cluster.cli("sandbox", "up", *options, timeout=900).expect(0)
        cluster.describe_services()
        cluster.write({**cluster.intent, "monitoring": {"enabled": True}})
        cluster.cli("bootstrap", "--yes", timeout=900).expect(0)
        yield cluster
    finally:
        cluster.cli("sandbox", "down", "--purge", "--yes", timeout=300)
        shutil.rmtree(folder, ignore_errors=True)


def counts(nodes: int) -> tuple[str, ...]:
    """Return the options of `sandbox up` for so many nodes: two managers, two load balancers, and workers."""
    if nodes < 5:
        return ("--all-in-one", str(nodes))
    return ("--managers", "2", "--lbs", "2", "--workers", str(nodes - 4))


def apply(cluster: Cluster) -> Sample:
    """Run `apply all`, and see that there was nothing to do."""
    sample = timed(cluster.cli.command("apply", "all", "--yes"), cwd=cluster.project)
    if "nothing changed" not in sample.output:
        raise RuntimeError(f"the cluster had not converged:\n{sample.output}")
    return sample


def first_apply(cluster: Cluster) -> Sample:
    """Run `apply all` on bare hosts, and again until there is nothing to do."""
    sample = timed(cluster.cli.command("apply", "all", "--yes"), cwd=cluster.project)
    say(f"first apply on {len(cluster.nodes())} hosts: {sample.wall:.1f} s")
    deadline = time.monotonic() + 60
    while "nothing changed" not in cluster.cli("apply", "all", "--yes").expect(0).out and time.monotonic() < deadline:
        time.sleep(1)
    return sample


# --- measures


def start_up(rounds: int) -> list[Row]:
    """Start-up of the command line beside Python's own."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench.") as folder:
        project = Path(folder)
        shutil.copytree(ROOT / "inventories/example", project / "inventories/example")

        def often(*command: str) -> Callable[[], Sample]:
            def run() -> Sample:
                return Sample.median([timed(command, cwd=project) for _ in range(STARTS)])

            return run

        python = str(BIN / "python")
        runs = take_turns(
            rounds,
            {
                "python -c pass": often(python, "-c", "pass"),
                "nexus-ops --help": often(str(BIN / "nexus-ops"), "--help"),
                "nexus-ops node list": often(str(BIN / "nexus-ops"), "--env", "example", "node", "list"),
                "ansible --version": often(str(BIN / "ansible"), "--version"),
                "pyinfra --version": often(str(BIN / "pyinfra"), "--version"),
            },
        )
    base = "python -c pass"
    return [
        plain(base, runs[base]),
        compared("nexus-ops --help", runs, "nexus-ops --help", base, 13),
        compared("nexus-ops node list (reads the intent)", runs, "nexus-ops node list", base, 8),
        compared("ansible --version", runs, "ansible --version", base),
        compared("pyinfra --version", runs, "pyinfra --version", base),
    ]


def converged(cluster: Cluster, rounds: int) -> list[Row]:
    """A converged `apply all` beside bare ansible-playbook, the same task by task, mitogen, and pyinfra."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench.", dir=cluster.project))
    purposes = read_resources(cluster, folder / "ours")
    peers = folder / "peers"
    write_files(purposes, peers)
    playbook, pyinfra = write_playbook(purposes, peers), write_pyinfra(cluster, purposes, peers)
    number = sum(resources.count for nodes in purposes.values() for resources in nodes.values())
    say(f"{number} resources on {len(cluster.nodes())} hosts")
    inventory = str(cluster.folder / "hosts.yml")
    (peers / "defaults.cfg").write_text("")
    import ansible_mitogen

    strategies = Path(ansible_mitogen.__file__).parent / "plugins/strategy"
    (peers / "mitogen.cfg").write_text(
        f"[defaults]\nstrategy_plugins = {strategies}\nstrategy = mitogen_linear\ngathering = explicit\nforks = 50\n"
        # It does not know the file of host keys that the inventory names.
        "interpreter_python = /usr/bin/python3\nhost_key_checking = False\n[ssh_connection]\npipelining = True\n"
    )

    def ansible(book: Path, configuration: Path) -> Callable[[], Sample]:
        def run() -> Sample:
            command = ["ansible-playbook", "-i", inventory, str(book)]
            sample = timed(command, cwd=peers, environment={"ANSIBLE_CONFIG": str(configuration)})
            changed = sum(map(int, re.findall(r"changed=(\d+)", sample.output)))
            say(f"({changed} changed)")
            if changed and measuring.is_set():
                raise RuntimeError(f"{configuration.name}: it had not converged:\n{sample.output[-3000:]}")
            return sample

        return run

    def other() -> Sample:
        sample = timed(pyinfra, cwd=peers)
        total = re.search(r"Grand total\s+\S+\s+(\S+)", sample.output)
        if measuring.is_set() and (total is None or total[1] != "-"):
            raise RuntimeError(f"pyinfra: it had not converged:\n{sample.output[-3000:]}")
        return sample

    for node in cluster.nodes():  # Ansible's module apt would install it, where it can
        cluster.run(node, "apt-get", "-qq", "install", "--yes", "--no-install-recommends", "python3-apt")
    measuring = threading.Event()
    contenders = {
        "nexus-ops": lambda: apply(cluster),
        "bare ansible-playbook": ansible(ROOT / "playbooks/site.yml", ROOT / "ansible.cfg"),
        "task by task, Ansible's defaults": ansible(playbook, peers / "defaults.cfg"),
        "task by task, mitogen": ansible(playbook, peers / "mitogen.cfg"),
        "pyinfra": other,
    }
    for name in [
        name for name in contenders if "defaults" not in name
    ]:  # once, so that everything that is kept is there and everybody agrees on the state
        try:
            say(f"{name}, to warm up: {contenders[name]().wall:.2f} s")
        except RuntimeError as error:
            if name != "task by task, mitogen":
                raise
            say(f"mitogen does not support this Ansible: {str(error)[-300:]}")
            del contenders[name]
    measuring.set()
    runs = take_turns(rounds, contenders)
    ours = f"converged apply all, {len(cluster.nodes())} hosts"
    peers_only = [name for name in runs if name != "nexus-ops"]
    return [
        *(compared(ours, runs, "nexus-ops", name, LIMITS[name]) for name in peers_only),
        *(plain(name, runs[name]) for name in peers_only),
    ]


def status(cluster: Cluster, rounds: int) -> list[Row]:
    """`status` of the whole cluster."""
    runs = take_turns(rounds, {"status": lambda: timed(cluster.cli.command("status"), cwd=cluster.project)})
    return [plain(f"status, {len(cluster.nodes())} hosts", runs["status"])]


def deploy(cluster: Cluster, rounds: int) -> list[Row]:
    """A deploy of a 20 MB release to three workers, one after the other."""
    app = cluster.folder / "apps/web"
    intent = cluster.intent
    intent["services"]["web"]["nodes"] = cluster.nodes("worker")[:3]
    intent["services"]["web"]["drain_timeout"] = "1s"
    cluster.write(intent)
    cluster.cli("apply", "ha", "--yes").expect(0)

    def once() -> Sample:
        (app / "payload").write_bytes(os.urandom(RELEASE_BYTES))
        return timed(cluster.cli.command("deploy", "web", "--yes"), cwd=cluster.project)

    runs = take_turns(rounds, {"deploy": once})
    starts = [start_seconds(cluster, worker) for worker in cluster.nodes("worker")[:3]]
    own = statistics.median(starts)
    say(f"the service's own start: {own:.2f} s")
    median = Sample.median(runs["deploy"])
    del intent["services"]["web"]["nodes"]
    cluster.write(intent)
    (app / "payload").unlink()
    cluster.cli("apply", "ha", "--yes").expect(0)
    return [
        plain("deploy of 20 MB to 3 workers", runs["deploy"]),
        Row("the same, per worker, without the service's own start", median.wall / 3 - own, limit=3.0),
    ]


def start_seconds(cluster: Cluster, worker: str) -> float:
    """Return how long the service itself takes on a worker from its start to its first good answer."""
    script = """
import subprocess, time, urllib.request
subprocess.run(["systemctl", "stop", "nexus-service-web"], check=True)
began = time.monotonic()
subprocess.run(["systemctl", "start", "nexus-service-web"], check=True)
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8080/healthz", timeout=1)
        break
    except OSError:
        time.sleep(0.01)
print(time.monotonic() - began)
"""
    return float(cluster.run_from(worker, script))


def first(rounds: int, nodes: int) -> list[Row]:
    """The first `apply all` on bare hosts, beside apt alone: the same packages, on all hosts at once."""
    ours, apt = [], []
    for _ in range(rounds):
        with cluster_of("bench", *counts(nodes)) as cluster:
            ours.append(first_apply(cluster))
            purposes = read_resources(cluster, cluster.project / "ours")
        with cluster_of("bench", *counts(nodes)) as cluster:
            apt.append(
                apt_alone(
                    cluster,
                    {
                        node: sorted(
                            {
                                package
                                for nodes_ in purposes.values()
                                if node in nodes_
                                for package in nodes_[node].packages
                            }
                        )
                        for node in cluster.nodes()
                    },
                )
            )
    return [
        compared(
            f"first apply all, {nodes} bare hosts", {"nexus-ops": ours, "apt alone": apt}, "nexus-ops", "apt alone", 1.5
        ),
        plain("apt alone", apt),
    ]


def apt_alone(cluster: Cluster, packages: Mapping[str, list[str]]) -> Sample:
    """Install packages on all nodes at once, as a person would by ssh."""
    key = cluster.folder / cluster.intent["ssh"]["private_key_file"]
    known = cluster.project / "known_hosts"
    lines = []
    # Its lists are fresh: bootstrap reads them.
    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
    for node, names in packages.items():
        ssh = f"ssh -i {key} -o UserKnownHostsFile={known} -o StrictHostKeyChecking=accept-new"
        command = f"{ssh} root@{cluster.address(node)} '{install} {' '.join(names)}'"
        lines.append(f'{command} >/dev/null 2>&1 & pids="$pids $!"')
    script = "\n".join([*lines, "for pid in $pids; do wait $pid || exit 1; done"])
    sample = timed(["bash", "-c", script], cwd=cluster.project)
    say(f"apt alone on {len(packages)} hosts: {sample.wall:.1f} s")
    return sample


def growth(cluster: Cluster, rounds: int, sizes: tuple[int, ...]) -> list[Row]:
    """A converged `apply all` as the cluster grows, with what a straight line through the figures says for 200."""
    medians: dict[int, Sample] = {}
    with cluster_of("one", "--all-in-one", "1") as single:
        first_apply(single)
        medians[1] = Sample.median(take_turns(rounds, {"1 host": lambda: apply(single)})["1 host"])
    for nodes in sizes:
        if nodes > len(cluster.nodes()):
            grow(cluster, nodes)
        medians[nodes] = Sample.median(take_turns(rounds, {f"{nodes} hosts": lambda: apply(cluster)})[f"{nodes} hosts"])
    rows = [Row(f"converged apply all, {n} hosts", one.wall, "s", one.own, one.others) for n, one in medians.items()]
    for small, large in ((10, 20), (20, 40)):
        if {small, large} <= medians.keys():
            ratio = medians[large].wall / medians[small].wall
            rows.append(
                Row(
                    f"from {small} to {large} hosts",
                    medians[large].wall,
                    ratio=ratio,
                    beside=f"{small} hosts",
                    limit=1.6,
                )
            )
    counted = [size for size in medians if size > 1]
    if len(counted) > 1:
        slope, intercept = statistics.linear_regression(counted, [medians[size].wall for size in counted])
        rows.append(
            Row(
                f"fit: {intercept:.2f} s + {slope * 1000:.0f} ms a host; foreseen for {FORESEEN}",
                intercept + slope * FORESEEN,
            )
        )
    return rows


def grow(cluster: Cluster, nodes: int) -> None:
    """Add workers until there are so many nodes, and bring them in."""
    say(f"growing to {nodes} hosts")
    cluster.cli("sandbox", "up", *counts(nodes), timeout=900).expect(0)
    cluster.cli("bootstrap", "--yes", timeout=900).expect(0)
    first_apply(cluster)
