"""Could a run succeed? What every node says of itself, and what of it stands in the way of the intent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent, Node, Role, Tls
from nexus_ops.monitoring import join
from nexus_ops.secrets import SUDO_PASSWORD

if TYPE_CHECKING:
    from nexus_ops.asking import Replies
    from nexus_ops.environment import Environment

PLAYBOOK = "doctor"
SYSTEMS = ("debian 12", "debian 13", "ubuntu 22.04", "ubuntu 24.04")
MINIMUM = {"caddy": (2, 11, 4), "keepalived": (2, 0), "netdata": (1, 37)}
NEEDED_BY = {"caddy": Role.LB, "keepalived": Role.LB}
PARENT_PORTS = (19997, 19998, 19999)
OURS = ("caddy.service", "caddy.socket", "keepalived.service", "netdata.service")
SERVICE_UNITS = "nexus-"
MIB = 1024**2
LITTLE_SPACE, NO_SPACE = 1024 * MIB, 300 * MIB
SMALL_PLACES = {"/var/lib/nexusops": 10 * MIB, "/var/lib/caddy": 10 * MIB}
"""Where a file system of its own needs little, and how much a run needs there at least."""
LITTLE_MEMORY = 128 * MIB
SKEW, BAD_SKEW = 3.0, 60.0
"""Seconds that a clock may be off before it is worth a word, and before certificates fail."""

DNS_TIMEOUT = 5.0  # seconds
HOST_KEY_WORDS = ("host key", "host identification")


class Severity(StrEnum):
    """How bad a finding is: a run fails with an error, and has a flaw or a risk with a warning."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    severity: Severity
    what: str
    remedy: str

    def document(self) -> dict[str, str]:
        """Return what `--json` shows."""
        return {"severity": self.severity.value, "what": self.what, "remedy": self.remedy}


def error(what: str, remedy: str) -> Finding:
    """Return a finding with which a run fails."""
    return Finding(Severity.ERROR, what, remedy)


def warning(what: str, remedy: str) -> Finding:
    """Return a finding that a run gets by with."""
    return Finding(Severity.WARNING, what, remedy)


@dataclass
class Diagnosis:
    """All findings: by node, and of the cluster as a whole. `silent` are the nodes that could not be asked."""

    nodes: dict[str, list[Finding]]
    cluster: list[Finding] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    @property
    def all(self) -> list[tuple[str, Finding]]:
        """Return every finding with its node, empty for those of the cluster."""
        found = [(name, finding) for name, findings in self.nodes.items() for finding in findings]
        return found + [("", finding) for finding in self.cluster]

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 without errors, 3 when all errors are that nodes cannot be asked, else 1."""
        wrong = {name for name, finding in self.all if finding.severity is Severity.ERROR}
        if not wrong:
            return ExitCode.DONE
        return ExitCode.UNREACHABLE if wrong <= self.silent else ExitCode.FAILED

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {
            "ok": self.exit_code is ExitCode.DONE,
            "nodes": {
                name: {"findings": [finding.document() for finding in findings]}
                for name, findings in self.nodes.items()
            },
            "findings": [finding.document() for finding in self.cluster],
        }


def examine(environment: Environment, intent: Intent) -> Diagnosis:
    """Ask all nodes, and the domain name service for the intent's domains, and return what was found.

    Changes nothing on any machine. Raises NexusError when Ansible could not ask anybody.
    """
    from nexus_ops.asking import ask_nodes

    resolution = Resolution(domains_of(intent))
    replies = ask_nodes(environment, intent, PLAYBOOK)
    addresses = resolution.finish()
    return judge(environment, intent, replies, addresses)


def judge(
    environment: Environment, intent: Intent, replies: Replies, addresses: Mapping[str, set[str] | None]
) -> Diagnosis:
    """Return the findings in what the nodes replied, and in the `addresses` that domain names lead to."""
    silent = {**replies.failed, **replies.silent}
    diagnosis = Diagnosis({name: [] for name in intent.nodes}, silent=set(silent))
    for name, node in intent.nodes.items():
        if name in silent or name not in replies.reports:
            diagnosis.silent.add(name)
            diagnosis.nodes[name] = [_no_answer(environment, node, silent.get(name, "no answer"))]
            continue
        report = replies.reports[name]
        findings = diagnosis.nodes[name]
        findings += _basics(environment, node, report)
        findings += _ports(intent, node, report.get("listeners", ()))
        findings += _room(report)
        findings += _versions(node, report.get("versions", {}))
        findings += _vrrp(intent, report, replies.reports)
        findings += _reach(intent, node, replies.reports)
        findings += _packages(report)
        findings += _repository(report)
        findings += _clock(report, replies.received[name])
    diagnosis.cluster = [*_skew(replies), *_dns(intent, addresses)]
    return diagnosis


def _no_answer(environment: Environment, node: Node, reason: str) -> Finding:
    """Return why `node` could not be asked; a host key that is not the pinned one is looked at more closely."""
    from nexus_ops.hostkeys import read_pinned, survey_host_keys

    bootstrap = f"run: nexus-ops --env {environment.name} bootstrap {node.name}"
    words = reason.lower()
    if any(text in words for text in HOST_KEY_WORDS):
        if not read_pinned(environment.known_hosts).knows(node):
            return error("no host key of it is pinned, so it was never bootstrapped", bootstrap)
        refused = survey_host_keys(environment.known_hosts, [node]).refused.get(node.name, reason)
        what, _, remedy = refused.partition(" Compare ")
        return error(what, f"compare {remedy}" if remedy else bootstrap)
    if "permission denied" in words:
        return error(f"ssh: {reason}", f"{bootstrap} --user root, or put your key in place on it")
    target = f"{node.ssh.user}@{node.address}"
    return error(f"ssh: {reason}", f"bring it up and see that this works from here: ssh -p {node.ssh.port} {target}")


def _basics(environment: Environment, node: Node, report: Mapping[str, Any]) -> Iterable[Finding]:
    bootstrap = f"run: nexus-ops --env {environment.name} bootstrap {node.name}"
    if report.get("system") not in SYSTEMS:
        yield error(
            f"{report.get('name') or 'its system'} is not supported",
            "install Debian 12 or 13, or Ubuntu 22.04 or 24.04 on it",
        )
    if not report.get("python"):
        yield error("python3 is not installed", bootstrap)
    elif "clock" not in report and report.get("root") == "yes":
        yield error(f"its python3 is {report['python']}, which is too old", "install Python 3.9 or newer")
    if report.get("root") != "yes":
        said = str(report.get("root") or "no answer").removeprefix("sudo: ")
        yield error(
            f"{node.ssh.user} cannot sudo without a password: {said}",
            f"{bootstrap} --user root; or write the password into {environment.secrets / SUDO_PASSWORD} (mode 0600)",
        )
    if report.get("systemd") is False:
        yield error("systemd is not running it", "use a machine that systemd has booted")


def ports_of(intent: Intent, node: Node) -> dict[int, str]:
    """Return the TCP ports that the intent needs on `node`, with what for."""
    wanted: dict[int, str] = {}
    if Role.LB in node.roles:
        wanted[80] = wanted[2020] = "the load balancer"
        if intent.ha.tls is not Tls.OFF:
            wanted[443] = "the load balancer"
    if intent.monitoring.enabled and node in intent.parents:
        wanted.update(dict.fromkeys(PARENT_PORTS, "monitoring"))
    wanted.update({one.port: f"service {one.name}" for one in intent.services.values() if node.name in one.nodes})
    return wanted


def _ports(intent: Intent, node: Node, listeners: Iterable[Mapping[str, Any]]) -> Iterable[Finding]:
    wanted = ports_of(intent, node)
    for listener in listeners:
        port, unit = listener["port"], listener["unit"]
        if listener["protocol"] != "tcp" or port not in wanted or unit in OURS or unit.startswith(SERVICE_UNITS):
            continue
        program = listener["program"] or "a program in a container or of the kernel"
        where = f" ({unit})" if unit else ""
        stop = f"stop it: systemctl disable --now {unit}" if unit.endswith((".service", ".socket")) else "stop it"
        yield error(
            f"port {port}, for {wanted[port]}, is in use by {program}{where}", f"{stop}, or choose another port"
        )


def _room(report: Mapping[str, Any]) -> Iterable[Finding]:
    for place, free in report.get("space", {}).items():
        if place in SMALL_PLACES:
            least = SMALL_PLACES[place]
            if free < least:
                yield error(f"{free // MIB} MiB are free in {place}", f"make room there: {least // MIB} MiB at least")
        elif free < LITTLE_SPACE:
            kind = error if free < NO_SPACE else warning
            yield kind(f"{free // MIB} MiB are free in {place}", "make room there: 1 GiB at least")
    memory = report.get("memory")
    if memory is not None and memory < LITTLE_MEMORY:
        yield warning(f"{memory // MIB} MiB of memory are free", "stop what is not needed, or add memory")


def _versions(node: Node, versions: Mapping[str, str]) -> Iterable[Finding]:
    for program, version in versions.items():
        if NEEDED_BY.get(program, Role.LB) not in node.roles and program in NEEDED_BY:
            continue
        wanted = ".".join(map(str, MINIMUM[program]))
        if not version:
            yield warning(f"{program} is installed and does not say its version", f"see that it is {wanted} or newer")
        elif tuple(map(int, version.split("."))) < MINIMUM[program]:
            remedy = "apply puts a newer one in its place" if program == "caddy" else "install a newer one"
            yield warning(f"{program} {version} is older than {wanted}", remedy)


def _packages(report: Mapping[str, Any]) -> Iterable[Finding]:
    if report.get("apt"):
        yield warning(
            f"another program works with packages: {report['apt']}",
            "a run that installs something waits for it, up to 10 min",
        )


def _repository(report: Mapping[str, Any]) -> Iterable[Finding]:
    if "repository" in report:
        yield error(f"Netdata cannot be installed: {report['repository']['what']}", report["repository"]["remedy"])


def _vrrp(intent: Intent, report: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> Iterable[Finding]:
    if "probe" in report:
        yield warning(f"IP protocol 112 (VRRP) cannot be tried: {report['probe']}", "see that its address is right")
    for peer, heard in report.get("heard", {}).items():
        if not heard and "heard" in reports.get(peer, {}):
            yield error(
                f"IP protocol 112 (VRRP) from {peer} ({intent.nodes[peer].address}) does not arrive",
                "let it pass between the load balancers, in firewalls and in a cloud's security group",
            )


def _reach(intent: Intent, node: Node, reports: Mapping[str, Mapping[str, Any]]) -> Iterable[Finding]:
    """Yield the ports of `node` that others must connect to and cannot, those of one port and reason together."""
    here = reports[node.name]
    open_ports = {listener["port"] for listener in here.get("listeners", ()) if listener["protocol"] == "tcp"}
    open_ports |= set(here.get("listening", ()))
    grouped: dict[tuple[int, str, str], list[tuple[str, str]]] = {}
    for start in filter(reports.__contains__, intent.nodes):
        for way in reports[start].get("reach", ()):
            if way["node"] != node.name or not way["error"]:
                continue
            if way["error"] == "refused" and (way["port"] not in open_ports or _refuses_itself(intent, node, way)):
                continue
            grouped.setdefault((way["port"], way["purpose"], way["error"]), []).append((start, way["source"]))
    for (port, purpose, reason), starts in grouped.items():
        names, sources = join(start for start, _ in starts), join(_sources(intent, starts))
        suspects = [f"{chain} on {node.name}" for chain in here.get("firewalls", {}).get("input", ())]
        for start, _ in starts:
            chains = reports[start].get("firewalls", {}).get("output", ())
            suspects += [f"{chain} on {start}" for chain in chains]
        cause = f"; what can stop it: {', '.join(suspects)}" if suspects else ""
        yield error(
            f"{names} cannot connect to TCP port {port} ({purpose}): {reason}{cause}",
            _way_out(intent, purpose, starts)
            or f"accept TCP port {port} from {sources} on it, in its firewalls and in a cloud's security group",
        )


def _sources(intent: Intent, starts: Iterable[tuple[str, str]]) -> list[str]:
    """Return the addresses from which those nodes connect: their own, and over IPv6 the floating IP of its holder."""
    return list(
        dict.fromkeys(each for start, source in starts for each in (intent.nodes[start].address, source) if each)
    )


def _refuses_itself(intent: Intent, node: Node, way: Mapping[str, Any]) -> bool:
    """Return whether a parent may rightly turn root's connection away: Netdata's alone are taken, or by another one."""
    return way["port"] == PARENT_PORTS[1] or (way["port"] == PARENT_PORTS[2] and node != intent.parents[0])


def _way_out(intent: Intent, purpose: str, starts: Iterable[tuple[str, str]]) -> str:
    """Return what to do where a load balancer's connections leave from an address that nexus.yml does not know."""
    virtual_ip = {str(intent.ha.virtual_ip.ip)} if intent.ha.virtual_ip else set()
    for start, source in starts:
        known = {intent.nodes[start].address, *virtual_ip}
        if purpose != "monitoring" and source and source not in known:
            return f"name {source} as the address of {start}: its connections leave from there"
    return ""


def _clock(report: Mapping[str, Any], received: float) -> Iterable[Finding]:
    if "clock" not in report:
        return
    off = report["clock"] - received
    if abs(off) > SKEW:
        kind = error if abs(off) > BAD_SKEW else warning
        yield kind(
            f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's",
            "set it, and have it kept right: timedatectl set-ntp true",
        )


def _skew(replies: Replies) -> Iterable[Finding]:
    """Compare the nodes' clocks with each other: this machine's may be the one that is wrong."""
    off = {
        name: report["clock"] - replies.received[name] for name, report in replies.reports.items() if "clock" in report
    }
    if len(off) < 2:
        return
    late, early = min(off, key=off.__getitem__), max(off, key=off.__getitem__)
    if off[early] - off[late] > SKEW:
        yield warning(
            f"the clocks of {early} and {late} are {off[early] - off[late]:.0f} s apart",
            "have all of them kept right: timedatectl set-ntp true",
        )


def domains_of(intent: Intent) -> list[str]:
    """Return the domains that nexus.yml names."""
    names = [service.domain for service in intent.services.values()]
    if intent.monitoring.enabled:
        names.append(intent.monitoring.dashboard.domain)
    return [name for name in dict.fromkeys(names) if name]


class Resolution:
    """Asks for the addresses of domains in the background: the C library's resolver cannot be told when to give up."""

    def __init__(self, domains: Iterable[str]) -> None:
        """Begin to ask."""
        self._ends = time.monotonic() + DNS_TIMEOUT
        self._found: dict[str, set[str]] = {}
        self._threads = {name: threading.Thread(target=self._ask, args=(name,), daemon=True) for name in domains}
        for thread in self._threads.values():
            thread.start()

    def _ask(self, domain: str) -> None:
        self._found[domain] = resolve(domain)

    def finish(self) -> dict[str, set[str] | None]:
        """Return the addresses by domain, None where there was no answer within DNS_TIMEOUT seconds of the start."""
        for thread in self._threads.values():
            thread.join(max(0.0, self._ends - time.monotonic()))
        return {name: self._found.get(name) for name in self._threads}


def resolve(domain: str) -> set[str]:
    """Return the addresses that `domain` leads to, none when it is not known."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(domain, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _dns(intent: Intent, addresses: Mapping[str, set[str] | None]) -> Iterable[Finding]:
    lbs = {node.name: node.address for node in intent.with_role(Role.LB)}
    virtual_ip = str(intent.ha.virtual_ip.ip) if intent.ha.virtual_ip else ""
    right = {*lbs.values(), virtual_ip} - {""}
    target = virtual_ip or " and ".join(lbs.values())
    for domain, found in addresses.items():
        if found is None:
            yield warning(
                f"{domain}: this machine's name servers do not answer within {DNS_TIMEOUT:g} s",
                "see /etc/resolv.conf here",
            )
            continue
        if found & right:
            continue
        where = f"leads to {', '.join(sorted(found))}, which is no load balancer" if found else "is not known here"
        yield warning(f"{domain} {where}", f"point it to {target}, or to an address that is forwarded there")
