"""What is done with the cluster of a cell, and what has to be true each time."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import shutil
import socket
import ssl
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.cluster.authority import DIRECTORY, run_authority
from tests.cluster.cluster import APP, BOOT_SECONDS, STATUS_DOMAIN, STATUS_PORT, WEB_PORT, Cluster, service
from tests.cluster.load import Stream
from tests.cluster.measure import RunningLoad, wait_until
from tests.cluster.monitoring.browser import Browser
from tests.cluster.monitoring.monitored import PAGE, USER, all_live, complete, each_state
from tests.cluster.repository import Repository
from tests.matrix import machines
from tests.matrix.app import App
from tests.matrix.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.matrix.axes import Cell

DASHBOARD_DOMAIN = "dashboard.example.com"
CLIENT = "client1"
GETS = (Stream("get", "GET", "/", 30),)
WORKER_FAULTS = (("power-off", "power-on"), ("cut", "heal"), ("freeze", "thaw"), ("", ""))  # the last one: killed
LB_FAULTS = WORKER_FAULTS[:2]
LIVE_SECONDS = 90.0


class Run:
    """The cluster of a cell while it is tried."""

    def __init__(self, cluster: Cluster, cell: Cell, controller: Controller, folder: Path) -> None:
        """Keep what all steps need; `folder` is for files of the person who runs it."""
        self.cluster = cluster
        self.cell = cell
        self.controller = controller
        self.folder = folder
        self.app: App

    @property
    def authority(self) -> Path:
        """Return the file of the certificate that clients trust."""
        if self.cell.tls == "acme":
            return self.folder / "root.crt"
        return self.cluster.folder / "secrets/ca.crt"

    @property
    def addresses(self) -> list[str]:
        """Return where clients may connect: the floating IP, and each lb."""
        floating = [self.cluster.virtual_ip] if self.cell.floating_ip == "yes" else []
        return [*floating, *map(self.cluster.address, self.cluster.nodes("lb"))]

    @property
    def parents(self) -> list[str]:
        """Return the nodes that all others stream to: the first two managers."""
        return self.cluster.nodes("manager")[:2]

    def ask(self, address: str, host: str, path: str = "/", password: str = "") -> Any:
        """Return the JSON document that `host` answers at `address`; over https where it has a certificate.

        Raises OSError, HTTPException or ValueError when there is no good one.
        """
        named = not host.endswith(".test")
        plain = self.cell.tls == "off" or (self.cell.tls == "acme" and not named)
        connection = http.client.HTTPConnection(f"[{host}]" if ":" in host else host, timeout=5)
        connection.sock = socket.create_connection((address, 80 if plain else 443), 5)
        if not plain:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        try:
            connection.request("GET", path, headers={"Authorization": f"Basic {login}"} if password else {})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def releases(self) -> dict[str, set[str]]:
        """Return which releases of `web` answer clients, by worker."""
        found: dict[str, set[str]] = {}
        for _ in range(8 * len(self.cluster.nodes("worker"))):
            answer = self.cluster.get(address=self.addresses[0])
            if answer:
                found.setdefault(answer["host"], set()).add(answer["release"])
        return found

    def every_worker_answers(self) -> bool:
        """Return whether clients get answers of every worker."""
        return set(self.releases()) == set(self.cluster.nodes("worker"))

    def load(self) -> RunningLoad:
        """Return a load, to be used in a `with` statement."""
        return RunningLoad(self.addresses[0], streams=GETS)

    def changes_nothing(self, *command: str) -> None:
        """See that a command has nothing to do."""
        result = self.cluster.cli(*command, "--yes", "--json").expect(0)
        assert result.document["changed"] == 0, f"a second run changes nothing\n{result}"


# --- the steps, in their order


def bootstrap(run: Run) -> None:
    """Describe the machines and the services, and make the machines manageable."""
    cluster, cell = run.cluster, run.cell
    intent = cluster.intent
    if cell.floating_ip == "no":
        del intent["ha"]["virtual_ip"]
    if cell.monitoring == "one parent":
        for node in cluster.nodes("manager")[1:]:
            intent["nodes"][node]["roles"].remove("manager")
    intent["ha"]["tls"] = cell.tls
    if cell.tls == "acme":
        intent["ha"]["acme"] = {"email": "ops@example.com", "directory": DIRECTORY}
        if cell.monitoring != "none":
            intent["monitoring"] = {"enabled": False, "dashboard": {"domain": DASHBOARD_DOMAIN}}
    status = {**service("status", STATUS_PORT), "source": {"path": "apps/status"}, "domain": STATUS_DOMAIN}
    intent["services"] = {"status": status}
    copy_status(cluster)
    cluster.write(intent)
    run.app = App(cluster, cell)
    machines.prepare(cluster, cell)
    machines.ssh_configuration(cluster, cell, run.folder / "ssh")
    (run.folder / "hosts").write_text(f"127.0.0.1 localhost\n{run.addresses[0]} {DASHBOARD_DOMAIN}\n")
    if cell.tls == "acme":
        names = dict.fromkeys((STATUS_DOMAIN, DASHBOARD_DOMAIN), run.addresses[0])
        run.authority.write_text(run_authority(cluster, CLIENT, names))
    cluster.cli = run.controller
    cluster.cli("bootstrap", "--user", "root", "--yes").expect(0)
    if cell.ssh == "sudo password":
        machines.ask_for_passwords(cluster)
    if cell.umask == "077":
        seen = cluster.cli("sandbox", "ssh", cluster.nodes()[0], "umask").expect(0)
        assert seen.out.strip() == "0077", f"new ssh connections have the umask\n{seen}"


def apply(run: Run) -> None:
    """Set everything up, for the first time."""
    result = run.cluster.cli("apply", "ha", "--yes", timeout=600).expect(0)
    assert "done" in result.err + result.out
    wait_until("every worker answers", 15, run.every_worker_answers)


def enable_monitoring(run: Run) -> None:
    """Let every node stream to every parent."""
    with packages(run) if run.cell.system != "debian-12" else nullcontext():
        run.cluster.cli("monitor", "enable", "--yes", timeout=600).expect(0)
    parents = run.parents
    nodes: dict[str, Any] = {}

    def live() -> bool:
        nodes.update(run.cluster.cli("monitor", "status", "--json").document["nodes"])
        return complete(nodes, parents)

    try:
        wait_until("every node is live on every parent", LIVE_SECONDS, live, interval=1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {'; '.join(each_state(nodes))}") from None


@contextmanager
def packages(run: Run) -> Iterator[None]:
    """Serve Netdata to nodes of Debian 13, which has none, as upstream does."""
    addresses = run.cluster.run(CLIENT, "hostname", "-I").split()
    address = next(address for address in addresses if ":" not in address)
    gateway = next(ipaddress.ip_network(f"{address}/24", strict=False).hosts())
    folder = run.folder / "packages"
    folder.mkdir()
    with Repository(folder, str(gateway)) as repository:
        repository.fill(run.cluster, CLIENT)
        repository.introduce(run.cluster, *run.cluster.nodes())
        settings = run.cluster.folder / "group_vars/all.yml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(json.dumps(repository.variables()))
        yield


def apply_again(run: Run) -> None:
    """See that nothing is left to do, and that the cluster says so."""
    run.changes_nothing("apply", "ha" if run.cell.monitoring == "none" else "all")
    plan = run.cluster.cli("plan", "all", "--json").expect(0)
    assert plan.document["changes"] == 0
    run.cluster.cli("status").expect(0)


def ask_services(run: Run) -> None:
    """Ask every service through every lb."""
    for address in run.addresses:
        for host, name in ((STATUS_DOMAIN, "status"), ("anybody.test", "web")):
            wait_until(f"{name} answers at {address}", 60, partial(answers, run, address, host, name))


def answers(run: Run, address: str, host: str, name: str) -> bool:
    """Return whether it is this service that answers."""
    try:
        return bool(run.ask(address, host)["service"] == name)
    except (OSError, http.client.HTTPException, ValueError):  # an ACME authority may not have given the certificate yet
        return False


def ask_dashboard(run: Run) -> None:
    """Open the dashboard: by the command, its data through every lb, and in a browser."""
    cluster = run.cluster
    via = cluster.cli("dashboard", "--json").expect(0).document["via"]
    assert via == ("domain" if run.cell.tls == "acme" else "virtual_ip" if run.cell.floating_ip == "yes" else "lb")
    password = (cluster.folder / "secrets/dashboard_password").read_text().strip()
    for number, address in enumerate(run.addresses):
        host = DASHBOARD_DOMAIN if run.cell.tls == "acme" else address
        for path in ("netdata", *(f"parents/{parent}" for parent in run.parents)):
            answer = run.ask(address, host, f"{PAGE}{path}/api/v1/info", password)
            assert set(answer["mirrored_hosts"]) == set(cluster.nodes()), f"{path} at {address}"
        place = f"[{address}]" if ":" in address else address
        flags = ("--ignore-certificate-errors", f"--host-resolver-rules=MAP {DASHBOARD_DOMAIN} {place}")
        folder = run.folder / f"page{number}"
        folder.mkdir()
        scheme = "http" if run.cell.tls == "off" else "https"
        with Browser(folder, flags=flags) as browser:
            browser.open(host if host == DASHBOARD_DOMAIN else place, password, scheme)
            browser.wait_for(f"the page at {address} shows all nodes as live", 30, all_live(cluster.nodes()))
            assert browser.moving(15) == set(cluster.nodes()), f"values move on the page at {address}"
            browser.screenshot("page")


def deploy(run: Run) -> None:
    """Roll out a release and go back, under load."""
    before = run.releases()
    with run.load() as load:
        run.app.release()
        run.cluster.cli("deploy", "web", "--yes", timeout=600).expect(0)
        after = run.releases()
        run.cluster.cli("rollback", "web", "--yes").expect(0)
        load.go_on(1)
    failures = load.report.failures()
    assert not failures, f"no request fails while a release is deployed and rolled back: {failures[:10]}"
    assert all(len(releases) == 1 and releases != before[worker] for worker, releases in after.items()), after
    wait_until("the release before answers everywhere", 5, lambda: run.releases() == before)


def lose_worker(run: Run) -> None:
    """Lose a worker that clients do not connect to."""
    cluster = run.cluster
    entry = cluster.holder() if run.cell.floating_ip == "yes" else cluster.nodes("lb")[0]
    lost = next(node for node in cluster.nodes("worker") if node != entry)
    fault, remedy = WORKER_FAULTS[run.cell.number % len(WORKER_FAULTS)]

    def strike() -> None:
        if fault:
            cluster.fault(lost, fault)
        else:
            cluster.run(lost, "kill", "-KILL", cluster.main_process(lost, WEB_PORT))

    failures = lose(run, strike, lambda: cluster.fault(lost, remedy) if remedy else None)
    assert not failures, f"no GET fails when {lost} is lost ({fault or 'killed'}): {failures[:10]}"


def lose_lb(run: Run) -> None:
    """Lose the holder of the floating IP; without one, an lb that these clients do not use."""
    cluster = run.cluster
    floating = run.cell.floating_ip == "yes"
    lost = cluster.holder() if floating else cluster.nodes("lb")[-1]
    fault, remedy = LB_FAULTS[run.cell.number // 2 % len(LB_FAULTS)]
    failures = lose(run, lambda: cluster.fault(lost, fault), lambda: cluster.fault(lost, remedy))
    if floating:
        spans = [float(failure.split()[0]) for failure in failures]
        outage = max(spans) - min(spans) if spans else 0.0
        assert outage < 1, f"requests fail for less than a second when {lost} is lost ({fault}): {failures}"
        wait_until("one lb holds the floating IP", 15, lambda: len(cluster.holders()) == 1)
    else:
        assert not failures, f"no GET through the other lb fails when {lost} is lost ({fault}): {failures[:10]}"


def lose(run: Run, strike: Callable[[], None], undo: Callable[[], object]) -> list[str]:
    """Do something bad under load and undo it. Returns what failed of the load before that."""
    with run.load() as load:
        load.go_on(2)
        strike()
        load.go_on(6)
        undone = time.time()
        undo()
        wait_until("every worker answers again", BOOT_SECONDS, run.every_worker_answers)
    for node in run.cluster.nodes():
        wait_until(f"{node} is up", BOOT_SECONDS, partial(run.cluster.succeeds, node, "systemctl", "is-active", "ssh"))
    return load.report.failures(until=undone)


def ask_doctor(run: Run) -> None:
    """Ask whether a run could succeed, once all nodes stream again."""
    with suppress(AssertionError):  # the last answer says why
        wait_until("the cluster is whole", BOOT_SECONDS, lambda: run.cluster.cli("status").code == 0)
    run.cluster.cli("status").expect(0)
    run.cluster.cli("doctor").expect(0)


def remove_node(run: Run) -> None:
    """Take a machine out."""
    cluster = run.cluster
    removed = cluster.nodes("worker")[-1]
    cluster.cli("node", "remove", removed).expect(0)
    cluster.cli("apply", "ha" if run.cell.monitoring == "none" else "all", "--yes", timeout=600).expect(0)
    run.changes_nothing("apply", "ha")
    wait_until("the workers that are left answer", 15, run.every_worker_answers)
    assert not cluster.succeeds(removed, "systemctl", "is-active", "--quiet", "nexus-service-web")
    cluster.cli("status").expect(0)


def steps(cell: Cell) -> list[Callable[[Run], None]]:
    """Return the steps of a cell, in their order."""
    monitored = cell.monitoring != "none"
    return [
        bootstrap,
        apply,
        *([enable_monitoring] if monitored else []),
        apply_again,
        ask_services,
        *([ask_dashboard] if monitored else []),
        deploy,
        lose_worker,
        lose_lb,
        ask_doctor,
        remove_node,
    ]


# --- the hosts


def copy_status(cluster: Cluster) -> None:
    """Put the program of the second service into the environment."""
    shutil.copytree(APP, cluster.folder / "apps/status", ignore=shutil.ignore_patterns("__pycache__"))


def sandbox_options(cell: Cell) -> list[str]:
    """Return the options of `sandbox up` for the hosts of a cell."""
    parents = 2 if cell.monitoring == "two parents" else 1
    all_in_one = {"three": "3", "two": "2"}
    options = ["--managers", str(parents)] if cell.roles == "six" else ["--all-in-one", all_in_one[cell.roles]]
    if cell.system == "mixed":
        newer = ["lb2", "w2", "w3"] if cell.roles == "six" else ["n2"]
        options += [word for node in newer for word in ("--system-of", f"{node}=debian-13")]
    else:
        options += ["--system", cell.system]
    options += ["--network", cell.network]
    if cell.ssh.startswith("sudo"):
        options += ["--ssh-user", "ops"]
    outside = cell.tls == "acme" or (cell.monitoring != "none" and cell.system != "debian-12")
    return [*options, "--client"] if outside else options


@contextmanager
def booted(cell: Cell, program: str, folder: Path) -> Iterator[Run]:
    """Boot the hosts of a cell for the length of a `with` block; `folder` is new and stays."""
    cluster = Cluster(f"cell{cell.number}", folder / "project")
    person = folder / "person"
    person.mkdir()
    variables = (f"SSL_CERT_FILE={person / 'root.crt'}",) if cell.tls == "acme" else ()
    controller = Controller(
        cluster.project, cluster.name, program, cell.umask, str(person / "ssh"), str(person / "hosts"), variables
    )
    try:
        cluster.cli("sandbox", "up", *sandbox_options(cell), timeout=600).expect(0)
        yield Run(cluster, cell, controller, person)
    finally:
        cluster.cli("sandbox", "down", "--purge", "--yes", timeout=120).expect(0)
