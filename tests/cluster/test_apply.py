"""From bare hosts to running services, and then: nothing left to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cli import run
from tests.cluster.cluster import STATUS_DOMAIN, STATUS_PORT, WEB_PORT
from tests.cluster.measure import wait_until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

CHECKOUT = Path(__file__).parents[2]


def test_the_first_apply_changed_every_node_that_has_work_to_do(six: Cluster) -> None:
    assert six.first_apply is not None
    document = six.first_apply.document
    assert document["ok"] is True
    for node in six.nodes("lb") + six.nodes("worker"):
        assert document["nodes"][node]["changed"] > 0, f"{node} was bare\n{six.first_apply}"
        assert document["nodes"][node]["failed"] == document["nodes"][node]["unreachable"] == 0
    assert document["changed"] == sum(counts["changed"] for counts in document["nodes"].values())


def test_workers_where_nothing_has_run_yet_start_their_services_at_once(six: Cluster) -> None:
    assert six.first_apply is not None
    said = six.cli("runs", "show", six.first_apply.document["run"]).expect(0).out
    starts = [line for line in said.splitlines() if line.split("  ")[-1].strip() == "Services run healthy"]
    assert len(starts) == 1, f"one step for all of them\n{said}"


def test_the_floating_ip_answers_from_every_worker_of_a_service(six: Cluster) -> None:
    assert six.answering() == {"w1", "w2", "w3"}
    assert six.answering(host="any.other.name") == {"w1", "w2", "w3"}, "the service without a domain is for all others"
    assert six.answering(host=STATUS_DOMAIN) == {"w1", "w2"}
    answer = six.get(host=STATUS_DOMAIN)
    assert answer is not None
    assert answer["service"] == "status"


def test_every_load_balancer_answers_for_itself(six: Cluster) -> None:
    for lb in six.nodes("lb"):
        assert six.answering(address=six.address(lb)) == {"w1", "w2", "w3"}, f"{lb} serves all workers"


def test_the_second_apply_changes_nothing_and_reloads_no_caddy(six: Cluster) -> None:
    loaded = {lb: six.config_loaded(lb) for lb in six.nodes("lb")}
    result = six.cli("apply", "ha", "--yes", "--json").expect(0)
    assert result.document["changed"] == 0, f"objective: a second apply changes nothing\n{result}"
    assert all(counts["changed"] == 0 for counts in result.document["nodes"].values())
    assert {lb: six.config_loaded(lb) for lb in loaded} == loaded, "objective: no Caddy loads its configuration again"


def test_the_plan_is_empty(six: Cluster) -> None:
    result = six.cli("plan", "ha", "--json").expect(0)
    assert result.document["changes"] == 0, f"nothing is pending\n{result}"


def test_the_playbook_run_by_hand_from_the_checkout_changes_nothing(six: Cluster) -> None:
    program = str(Path(sys.prefix) / "bin/ansible-playbook")
    hosts = str(six.folder / "hosts.yml")
    result = run((program, "-i", hosts, "playbooks/ha.yml"), cwd=CHECKOUT, timeout=300)
    result.expect(0)
    recap = [line for line in result.out.splitlines() if "changed=" in line]
    assert len(recap) >= 5, f"every node with work is in the recap\n{result}"
    for line in recap:
        assert " changed=0 " in line, f"objective: no change after apply\n{result}"
        assert " unreachable=0 " in line


def test_an_apply_after_which_requests_fail_names_who_cannot_reach_whom(six: Cluster) -> None:
    """A firewall of the machine's owner on a worker: `doctor` names it, and `apply` does not say done."""
    rules = f"table inet own {{ chain input {{ type filter hook input priority 0; tcp dport {WEB_PORT} drop; }}; }}"
    six.run("w1", "sh", "-c", f"echo '{rules}' | nft -f -")
    try:
        doctor = six.cli("doctor", "--json").expect(1).document["nodes"]
        result = six.cli("apply", "ha", "--yes", "--json").expect(1)
    finally:
        six.run("w1", "nft", "delete", "table", "inet", "own")
    (finding,) = doctor["w1"]["findings"]
    assert "chain input of table inet own on w1" in finding["what"], doctor
    assert not any(doctor[node]["findings"] for node in six.nodes() if node != "w1"), doctor
    error, address = result.document["error"], six.address("w1")
    assert error["node"] in six.nodes("lb")
    assert f"web on w1 ({address}:{WEB_PORT}) does not answer this load balancer" in error["message"], result
    assert f"on w1, accept TCP port {WEB_PORT} from {six.address(error['node'])}" in error["message"], result
    wait_until("every worker answers again", 30, six.all_workers_answer)


def test_a_service_port_answers_the_load_balancers_and_the_node_itself_only(six: Cluster) -> None:
    for node in six.nodes("worker"):
        address = six.address(node)
        assert not six.reachable(address, WEB_PORT), f"port {WEB_PORT} of {node} is closed to a client outside"
        assert six.reachable("127.0.0.1", WEB_PORT, node=node), f"{node} reaches its own service"
        for lb in six.nodes("lb"):
            assert six.reachable(address, WEB_PORT, node=lb), f"{lb} reaches {node}"
    assert not six.reachable(six.address("w1"), WEB_PORT, node="w2"), "another worker is not let in"
    assert not six.reachable(six.address("w1"), STATUS_PORT, node="mgr1"), "nor is the manager"


def test_services_run_unprivileged_and_secrets_stay_out_of_the_records(six: Cluster) -> None:
    for node in six.nodes("worker"):
        pid = six.main_process(node, WEB_PORT)
        assert six.run(node, "ps", "-o", "user=", "-p", pid).strip() != "root", f"the service on {node} runs as root"
    secrets = [path.read_text().strip() for path in (six.folder / "secrets").iterdir() if path.name != ".gitignore"]
    assert secrets
    for record in (six.folder / "runs").rglob("*"):
        if record.is_file():
            text = record.read_text(errors="replace")
            assert not any(secret in text for secret in secrets), f"a secret is in {record}"


def test_the_runs_are_recorded(six: Cluster) -> None:
    assert six.first_apply is not None
    runs = six.cli("runs", "list", "--json").expect(0)
    assert six.first_apply.document["run"] in runs.out
    shown = six.cli("runs", "show", six.first_apply.document["run"]).expect(0)
    assert "w1" in shown.out


def test_the_journal_of_a_node_says_who_changed_what(six: Cluster) -> None:
    """A line a change, with the run's id, on every node that it changed."""
    cluster = six
    assert cluster.first_apply is not None
    run = cluster.first_apply.document["run"]
    by = cluster.cli("runs", "show", run, "--json").expect(0).document["by"]
    for node, what in (("lb1", "caddy-lb: install package"), ("w1", "service-deploy: unpack release")):
        lines = cluster.run(node, "journalctl", "-t", "nexus-ops", "-o", "cat").splitlines()
        assert any(line.startswith(f"{run} {by} apply ha: {what}") for line in lines), lines
    lines = cluster.run("mgr1", "journalctl", "-t", "nexus-ops", "-o", "cat").splitlines()
    assert [line.partition(f"{by} ")[2] for line in lines] == ["bootstrap: bootstrap: user root can log in"]


CHECKS = {
    "lb": (
        "keepalived --config-test",
        "nft --check --file /etc/nexus-ops/vrrp.nft",
        "nft --check --file /etc/caddy/hold.nft",
        "caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile",
        "systemd-analyze verify --man=no caddy.service caddy.socket keepalived.service nexus-vrrp.service",
    ),
    "worker": (
        "nft --check --file /etc/nexus-ops/services.nft",
        "systemd-analyze verify --man=no nexus-service-web.service nexus-services-firewall.service",
    ),
}


@pytest.mark.parametrize("node", ["lb1", "lb2", "w1", "w2"])
def test_the_programs_of_each_system_accept_what_was_written(six: Cluster, node: str) -> None:
    (role,) = six.intent["nodes"][node]["roles"]
    for command in CHECKS[role]:
        said = six.run(node, "sh", "-c", f"{command} 2>&1")
        assert "nknown" not in said, f"{node}: {command}: {said}"  # unknown keys of units are only warned about
