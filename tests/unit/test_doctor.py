"""What the doctor makes of what nodes say."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus_ops.asking import Replies
from nexus_ops.doctor import MINIMUM, SYSTEMS, Diagnosis, Resolution, Severity, domains_of, judge, ports_of
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent

ROLES = Path(__file__).parents[2] / "roles"
NOW = 1_800_000_000.0
WELL: dict[str, Any] = {
    "system": "debian 12",
    "name": "Debian GNU/Linux 12 (bookworm)",
    "python": "3.11",
    "root": "yes",
    "systemd": True,
    "listeners": [
        {"protocol": "tcp", "port": 22, "program": "sshd", "unit": "ssh.service"},
        {"protocol": "tcp", "port": 80, "program": "caddy", "unit": "caddy.service"},
        {"protocol": "tcp", "port": 8080, "program": "python3", "unit": "nexus-service-web.service"},
        {"protocol": "udp", "port": 8080, "program": "other", "unit": "other.service"},
    ],
    "space": {"/": 9_000_000_000},
    "memory": 900_000_000,
    "versions": {"caddy": "2.11.7", "keepalived": "2.2.7", "netdata": "1.37.1"},
    "clock": NOW + 0.5,
}


def pin(environment: Environment, intent: Intent) -> None:
    lines = [
        f"{node.address if node.ssh.port == 22 else f'[{node.address}]:{node.ssh.port}'} ssh-ed25519 AAAA\n"
        for node in intent.nodes.values()
    ]
    environment.known_hosts.write_text("".join(lines))


def diagnose(
    environment: Environment, intent: Intent, silent: dict[str, str] | None = None, **changes: dict[str, Any]
) -> Diagnosis:
    """Return the findings where every node is well but for `changes` (by node, parts of its report)."""
    pin(environment, intent)
    replies = Replies(silent=silent or {})
    for name in intent.nodes:
        if name not in replies.silent:
            replies.reports[name] = {**copy.deepcopy(WELL), **changes.get(name, {})}
            replies.received[name] = NOW + 0.6
    return judge(environment, intent, replies, {})


def only(diagnosis: Diagnosis) -> tuple[str, str, str]:
    """Return node, severity and text of the only finding."""
    assert len(diagnosis.all) == 1, diagnosis.all
    name, finding = diagnosis.all[0]
    assert finding.remedy
    return name, finding.severity.value, finding.what


def test_nothing_is_found_where_all_is_well(environment: Environment, intent: Intent) -> None:
    diagnosis = diagnose(environment, intent)
    assert diagnosis.all == []
    assert diagnosis.exit_code is ExitCode.DONE
    assert diagnosis.document()["ok"] is True


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        ({"system": "alpine 3.20", "name": "Alpine Linux v3.20"}, "error", "Alpine Linux v3.20 is not supported"),
        ({"systemd": False}, "error", "systemd is not running it"),
        ({"space": {"/var": 100 * 1024**2}}, "error", "100 MiB are free in /var"),
        ({"space": {"/opt": 600 * 1024**2}}, "warning", "600 MiB are free in /opt"),
        ({"memory": 60 * 1024**2}, "warning", "60 MiB of memory are free"),
        (
            {"apt": "apt-get (process 7) holds /lock"},
            "warning",
            "another program works with packages: apt-get (process 7) holds /lock",
        ),
        ({"versions": {"netdata": "1.33.0"}}, "warning", "netdata 1.33.0 is older than 1.37"),
    ],
)
def test_one_thing_is_wrong(
    environment: Environment, intent: Intent, change: dict[str, Any], severity: str, words: str
) -> None:
    assert only(diagnose(environment, intent, w1=change)) == ("w1", severity, words)


def test_a_bare_node_has_no_python(environment: Environment, intent: Intent) -> None:
    diagnosis = diagnose(environment, intent)
    bare = {"system": "debian 13", "name": "Debian 13", "python": "", "root": "sudo: a password is required"}
    replies = Replies(reports={name: dict(WELL) for name in intent.nodes}, received=dict.fromkeys(intent.nodes, NOW))
    replies.reports["w1"] = bare
    diagnosis = judge(environment, intent, replies, {})
    assert [finding.what for _, finding in diagnosis.all] == [
        "python3 is not installed",
        "ops cannot sudo without a password: a password is required",
    ]
    assert diagnosis.exit_code is ExitCode.FAILED


def test_a_port_of_a_service_is_in_use(environment: Environment, intent: Intent) -> None:
    nginx = {"protocol": "tcp", "port": 8080, "program": "nginx", "unit": "nginx.service"}
    diagnosis = diagnose(environment, intent, w2={"listeners": [nginx]}, mgr1={"listeners": [nginx]})
    assert only(diagnosis) == ("w2", "error", "port 8080, for service web, is in use by nginx (nginx.service)")
    assert "systemctl disable --now nginx.service" in diagnosis.all[0][1].remedy


def test_ports_of_a_node(intent: Intent) -> None:
    assert ports_of(intent, intent.nodes["lb1"]) == dict.fromkeys((80, 2020), "the load balancer")
    assert ports_of(intent, intent.nodes["w1"]) == {8080: "service web"}
    assert ports_of(intent, intent.nodes["mgr1"]) == {}


def test_old_caddy_matters_on_load_balancers_only(environment: Environment, intent: Intent) -> None:
    old = {"versions": {"caddy": "2.6.2"}}
    assert only(diagnose(environment, intent, lb1=old, w1=old))[0] == "lb1"


@pytest.mark.parametrize(
    ("off", "severity", "words"),
    [(5, "warning", "its clock is 5 s ahead of"), (-300, "error", "its clock is 300 s behind")],
)
def test_a_clock_is_off(environment: Environment, intent: Intent, off: float, severity: str, words: str) -> None:
    diagnosis = diagnose(environment, intent, w1={"clock": NOW + 0.6 + off})
    (node, finding), (cluster, apart) = diagnosis.all
    assert (node, finding.severity.value, cluster) == ("w1", severity, "")
    assert finding.what.startswith(words)
    assert apart.severity is Severity.WARNING
    assert "w1" in apart.what


def test_protocol_112_does_not_arrive(environment: Environment, intent: Intent) -> None:
    diagnosis = diagnose(environment, intent, lb1={"heard": {"lb2": True}}, lb2={"heard": {"lb1": False}})
    assert only(diagnosis) == ("lb2", "error", "IP protocol 112 (VRRP) from lb1 (192.0.2.21) does not arrive")
    # A peer that could not send either is a finding of its own.
    silent = {"lb1": "connect to host 192.0.2.21 port 22: No route to host"}
    assert only(diagnose(environment, intent, silent, lb2={"heard": {"lb1": False}}))[0] == "lb1"


def test_only_silent_nodes_are_exit_3(environment: Environment, intent: Intent) -> None:
    silent = {"w1": "connect to host 192.0.2.31 port 22: Connection refused"}
    diagnosis = diagnose(environment, intent, silent)
    assert diagnosis.exit_code is ExitCode.UNREACHABLE
    assert diagnose(environment, intent, silent, w2={"systemd": False}).exit_code is ExitCode.FAILED


def test_a_node_that_was_never_bootstrapped(environment: Environment, intent: Intent) -> None:
    replies = Replies(silent=dict.fromkeys(intent.nodes, "Host key verification failed."))
    diagnosis = judge(environment, intent, replies, {})
    assert all("never bootstrapped" in finding.what for _, finding in diagnosis.all)
    assert "bootstrap w1" in diagnosis.nodes["w1"][0].remedy


def test_domains(environment: Environment, intent: Intent) -> None:
    assert domains_of(intent) == []
    pin(environment, intent)
    replies = Replies(reports={name: dict(WELL) for name in intent.nodes}, received=dict.fromkeys(intent.nodes, NOW))
    found = {
        "lb.example.com": {"192.0.2.22"},
        "ip.example.com": {"192.0.2.100", "192.0.2.200"},
        "far.example.com": {"198.51.100.1"},
        "none.example.com": set[str](),
    }
    findings = judge(environment, intent, replies, found).cluster
    assert [finding.what for finding in findings] == [
        "far.example.com leads to 198.51.100.1, which is no load balancer",
        "none.example.com is not known here",
    ]
    assert {finding.severity for finding in findings} == {Severity.WARNING}


def test_what_is_good_enough_is_what_the_roles_want() -> None:
    caddy = yaml.safe_load((ROLES / "caddy-lb/vars/main.yml").read_text())
    netdata = yaml.safe_load((ROLES / "netdata-node/vars/main.yml").read_text())
    assert ".".join(map(str, MINIMUM["caddy"])) == caddy["__caddy_lb_minimum"]
    assert ".".join(map(str, MINIMUM["netdata"])) == netdata["__netdata_node_minimum"]
    supported = {
        f"{system.lower()} {version}" for system, all_ in caddy["__caddy_lb_supported"].items() for version in all_
    }
    assert supported == set(SYSTEMS)


def test_the_module_names_who_listens(tmp_path: Path) -> None:
    """On this machine, in a process of its own: the module's Python is not importable under its name here."""
    script = (
        "import json, socket, sys; sys.path.insert(0, sys.argv[1]);"
        "from node_doctor import facts, ports;"
        "s = socket.create_server(('127.0.0.1', 0)); port = s.getsockname()[1];"
        "found = [one for one in ports.listeners() if one['port'] == port and one['protocol'] == 'tcp'];"
        "print(json.dumps([found, facts.free_space(), facts.available_memory()]))"
    )
    folder = str(ROLES / "node-doctor/module_utils")
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    found, space, memory = json.loads(done.stdout)
    assert re.match("python", found[0]["program"])
    assert space["/"] > 0
    assert memory > 0


def way(**changes: Any) -> dict[str, Any]:
    common = {"node": "w1", "port": 8080, "purpose": "service web", "source": "192.0.2.21", "error": "no answer"}
    return {"reach": [{**common, **changes}]}


def test_a_port_that_load_balancers_cannot_connect_to(environment: Environment, intent: Intent) -> None:
    firewall = {"firewalls": {"input": ["chain in of table inet ufw, policy drop"], "output": []}}
    found = diagnose(environment, intent, lb1=way(), lb2=way(source="192.0.2.22"), w1=firewall)
    node, severity, what = only(found)
    assert (node, severity) == ("w1", "error")
    assert what == (
        "lb1 and lb2 cannot connect to TCP port 8080 (service web): no answer; "
        "what can stop it: chain in of table inet ufw, policy drop on w1"
    )
    assert "accept TCP port 8080 from 192.0.2.21 and 192.0.2.22" in found.all[0][1].remedy


def test_a_load_balancer_whose_connections_leave_from_another_address(environment: Environment, intent: Intent) -> None:
    found = diagnose(environment, intent, lb1=way(source="192.0.2.121", error="refused"))
    assert only(found)[0] == "w1"
    assert "name 192.0.2.121 as the address of lb1" in found.all[0][1].remedy


def test_refused_says_nothing_where_nothing_listens(environment: Environment, intent: Intent) -> None:
    assert diagnose(environment, intent, lb1=way(error="refused"), w1={"listeners": []}).all == []
    opened = {"listeners": [], "listening": [8080]}
    assert diagnose(environment, intent, lb1=way(error="refused"), w1=opened).exit_code is ExitCode.FAILED


def test_a_small_file_system_below_opt_and_one_that_needs_little(environment: Environment, intent: Intent) -> None:
    _, severity, what = only(diagnose(environment, intent, w1={"space": {"/opt/nexus": 12 * 1024**2}}))
    assert (severity, what) == ("error", "12 MiB are free in /opt/nexus")
    assert diagnose(environment, intent, w1={"space": {"/var/lib/nexusops": 12 * 1024**2}}).all == []
    found = diagnose(environment, intent, w1={"space": {"/var/lib/nexusops": 65536}})
    assert only(found)[2] == "0 MiB are free in /var/lib/nexusops"


def test_name_servers_that_do_not_answer_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def never(*_: object, **__: object) -> list[Any]:
        answer.wait(30)
        return []

    monkeypatch.setattr("nexus_ops.doctor.socket.getaddrinfo", never)
    monkeypatch.setattr("nexus_ops.doctor.DNS_TIMEOUT", 0.1)
    assert Resolution(["web.example.com"]).finish() == {"web.example.com": None}
    answer.set()


def test_a_repository_that_cannot_be_read_is_told_with_what_to_paste(environment: Environment, intent: Intent) -> None:
    said = {"what": "https://192.0.2.9/ (trixie/) cannot be read by this node: refused", "remedy": "paste this"}
    name, severity, what = only(diagnose(environment, intent, w1={"repository": said}))
    assert (name, severity) == ("w1", "error")
    assert what == f"Netdata cannot be installed: {said['what']}"
