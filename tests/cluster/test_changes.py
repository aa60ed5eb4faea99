"""Changes under load: nodes come and go, wrong settings and full disks are survived, interrupted runs are finished."""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from tests.cluster.cluster import WEB_PORT
from tests.cluster.load import Stream
from tests.cluster.measure import GETS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cli import Result
    from tests.cluster.cluster import Cluster
    from tests.cluster.measure import Report

LIGHT = (Stream("get", "GET", "/", 50),)  # enough to notice; the run itself needs the processor as well


def assert_converged(cluster: Cluster) -> None:
    result = cluster.cli("apply", "ha", "--yes", "--json").expect(0)
    assert result.document["changed"] == 0, f"nothing is left to do\n{result}"


def configurations(cluster: Cluster) -> dict[str, str]:
    return {lb: cluster.running_configuration(lb) for lb in cluster.nodes("lb")}


@contextmanager
def full_disk(cluster: Cluster, lb: str) -> Iterator[None]:
    """Let Caddy's folder be on a file system without space."""
    cluster.run(
        lb,
        "sh",
        "-ec",
        "cp -a /etc/caddy /root/caddy.kept; mount -t tmpfs -o size=256k tmpfs /etc/caddy;"
        " cp -a /root/caddy.kept/. /etc/caddy/; cat /dev/zero >/etc/caddy/filler 2>/dev/null || true",
    )
    try:
        yield
    finally:
        cluster.run(lb, "sh", "-ec", "umount -l /etc/caddy; rm -rf /root/caddy.kept")


def test_a_setting_that_caddy_refuses_never_takes_the_running_configuration_down(whole_six: Cluster) -> None:
    cluster = whole_six
    before = configurations(cluster)
    services = yaml.safe_load((cluster.folder / "hosts.yml").read_text())["all"]["vars"]["caddy_lb_services"]
    services["web"]["response_timeout"] = "later"
    variables = cluster.folder / "group_vars/lb.yml"
    variables.parent.mkdir(exist_ok=True)
    variables.write_text(yaml.safe_dump({"caddy_lb_services": services}))
    try:
        with cluster.load(LIGHT) as load:
            result = cluster.cli("apply", "ha", "--yes", "--json").expect(1)
    finally:
        variables.unlink()
    assert_names(result, cluster.nodes("lb"), "later")
    assert configurations(cluster) == before, "every load balancer runs with the configuration it had"
    assert not load.report.failures(GETS), f"objective: no request fails meanwhile: {load.report.failures(GETS)}"
    assert_converged(cluster)


def test_a_full_disk_never_takes_the_running_configuration_down(whole_six: Cluster) -> None:
    cluster = whole_six
    lb = cluster.holder()
    before = configurations(cluster)[lb]
    with full_disk(cluster, lb), cluster.with_response_timeout("3s"), cluster.load(LIGHT) as load:
        result = cluster.cli("apply", "ha", "--yes", "--json").expect(1)
        assert cluster.running_configuration(lb) == before, f"{lb} runs with the configuration it had"
    assert_names(result, [lb], "space")
    assert not load.report.failures(GETS), f"objective: no request fails meanwhile: {load.report.failures(GETS)}"
    cluster.cli("apply", "ha", "--yes").expect(0)
    assert configurations(cluster)[lb] == before, "back to what the intent says"


def assert_names(result: Result, nodes: list[str], reason: str) -> None:
    error = result.document["error"]
    assert error["node"] in nodes, f"the error names the node\n{result}"
    assert reason in error["message"], f"the error says why: {reason!r}\n{result}"


def assert_no_get_fails(report: Report) -> None:
    """Fail when a GET did: reloads cut none, as Caddy gets only connections that have sent something (caddy.socket)."""
    failures = report.failures(GETS)
    assert not failures, f"objective: no GET fails while upstreams change and Caddy reloads: {failures}"


def test_a_removed_worker_gets_no_requests_and_is_stopped_and_a_new_one_joins(whole_six: Cluster) -> None:
    cluster = whole_six
    address = cluster.address("w3")
    with cluster.load(LIGHT) as load:
        cluster.cli("node", "remove", "w3").expect(0)
        assert "w3" not in cluster.nodes()
        (silent,) = set(cluster.nodes("lb")) - {cluster.holder()}
        cluster.fault(silent, "cut")
        try:
            cluster.cli("apply", "ha", "--yes").expect(3)
            kept = cluster.reachable("127.0.0.1", WEB_PORT, node="w3")
        finally:
            cluster.fault(silent, "heal")
        assert kept, "services are not stopped while a load balancer has not heard of it"
        wait_until(f"{silent} answers ssh again", 20, lambda: cluster.reachable(cluster.address(silent), 22))
        cluster.cli("apply", "ha", "--yes").expect(0)
        assert cluster.answering() == {"w1", "w2"}, "requests go to the workers that are left"
        stopped = not cluster.reachable("127.0.0.1", WEB_PORT, node="w3")
        assert stopped, "the services of a removed worker are stopped"
        cluster.cli("node", "add", "w3", "--address", address, "--role", "worker").expect(0)
        cluster.cli("apply", "ha", "--yes").expect(0)
        joined = wait_until("the new worker answers", 15, cluster.all_workers_answer)
    cluster.record("worker removed, then added", load.report, joined)
    assert_no_get_fails(load.report)
    assert_converged(cluster)


def test_a_run_killed_half_way_can_be_run_again(whole_six: Cluster) -> None:
    cluster = whole_six
    lb = cluster.nodes("lb")[0]

    def checksum() -> str:
        return hashlib.sha256(cluster.run(lb, "cat", "/etc/caddy/Caddyfile").encode()).hexdigest()

    landed, loaded = checksum(), cluster.config_loaded(lb)
    before = configurations(cluster)
    with cluster.with_response_timeout("3s"), cluster.load(LIGHT) as load:
        process = cluster.cli.start("apply", "ha", "--yes")
        try:  # its file has landed, its Caddy need not have been told yet
            wait_until(f"the new Caddyfile is on {lb}", 120, lambda: checksum() != landed, interval=0.05)
        finally:
            process.kill()
            process.wait()
        told = cluster.config_loaded(lb) != loaded
        wait_until("no Ansible goes on by itself once nexus-ops was killed", 20, lambda: not strays(cluster))
        cluster.cli("apply", "ha", "--yes").expect(0)
        for node, configuration in configurations(cluster).items():
            assert configuration != before[node], (
                f"{node} runs with what the intent says (told before the kill: {told})"
            )
        assert_converged(cluster)
    assert_no_get_fails(load.report)
    cluster.cli("apply", "ha", "--yes").expect(0)
    assert configurations(cluster) == before


def strays(cluster: Cluster) -> list[str]:
    """Return the Ansible processes that work on this cluster."""
    listing = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if "ansible-playbook" in line and str(cluster.folder) in line]


def test_a_changed_host_key_is_refused_with_an_explanation(whole_six: Cluster) -> None:
    cluster = whole_six
    key = "/etc/ssh/ssh_host_ed25519_key"
    pinned = (cluster.folder / "known_hosts").read_bytes()
    cluster.run(
        "w2",
        "sh",
        "-ec",
        f"mkdir /root/keys; mv {key} {key}.pub /root/keys/; ssh-keygen -q -t ed25519 -N '' -f {key};"
        " systemctl restart ssh",
    )
    try:
        # Connections that are kept open were made with the old key: they end, as when a machine is installed again.
        cluster.run("w2", "pkill", "-f", "^sshd(-session)?: root")  # Debian 12, 13
        refused = cluster.cli("bootstrap", "--yes", "w2")
        applied = cluster.cli("apply", "ha", "--yes", "--json")
    finally:
        cluster.run("w2", "sh", "-ec", "mv /root/keys/* /etc/ssh/; rmdir /root/keys; systemctl restart ssh")
    assert refused.code == 1, f"a changed host key is refused, also with --yes\n{refused}"
    assert "w2" in refused.err
    assert "changed" in refused.err
    assert "ssh-keygen" in refused.err, f"it says what to do\n{refused}"
    applied.expect(3)
    assert applied.document["error"]["node"] == "w2", f"the node whose key changed is named\n{applied}"
    assert applied.document["changed"] == 0
    assert (cluster.folder / "known_hosts").read_bytes() == pinned, "nothing was pinned"
    assert_converged(cluster)


def test_a_new_release_is_rolled_out_without_a_failed_request(whole_six: Cluster) -> None:
    cluster = whole_six
    releases = {node: answer["release"] for node, answer in answers(cluster).items()}
    server = cluster.folder / "apps/web/server.py"
    server.write_text(server.read_text() + "# another release\n")
    with cluster.load(LIGHT) as load:
        cluster.cli("apply", "ha", "--yes").expect(0)
    cluster.record("new release on every worker", load.report)
    now = {node: answer["release"] for node, answer in answers(cluster).items()}
    assert len(set(now.values())) == 1, f"one release everywhere: {now}"
    assert set(now.values()).isdisjoint(releases.values()), "and it is another one"
    assert not load.report.failures(GETS), f"objective: no request fails meanwhile: {load.report.failures(GETS)}"


def answers(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Return an answer of each worker."""
    found: dict[str, dict[str, str]] = {}

    def ask() -> bool:
        answer = cluster.get()
        if answer:
            found[answer["host"]] = answer
        return set(found) == set(cluster.nodes("worker"))

    wait_until("every worker answers", 15, ask, interval=0.02)
    return found


def test_a_holder_that_is_to_be_no_load_balancer_any_more_hands_over_first(whole_six: Cluster) -> None:
    cluster = whole_six
    holder, (worker, *_) = cluster.holder(), cluster.nodes("worker")
    before = cluster.intent_file.read_bytes()
    intent = cluster.intent
    intent["nodes"][holder]["roles"] = ["manager"]
    cluster.write(intent)
    try:
        with cluster.load(LIGHT) as load:
            load.go_on(2)
            cluster.cli("apply", "ha", "--yes").expect(0)
            load.go_on(2)
        lost = load.report.summary(GETS)
        assert lost.outage_ms < 500, f"objective: the loss of a holder that says so costs under 500 ms: {lost}"
        assert cluster.holders() == cluster.nodes("lb"), "the other one has it"
        assert not cluster.reachable(cluster.address(worker), WEB_PORT, node=holder), (
            "workers do not answer it any more"
        )
        assert_converged(cluster)
    finally:
        cluster.intent_file.write_bytes(before)
        cluster.cli("apply", "ha", "--yes").expect(0)


def test_a_run_that_fails_in_between_leaves_the_former_holder_serving(whole_six: Cluster) -> None:
    cluster = whole_six
    holder = cluster.holder()
    before = cluster.intent_file.read_bytes()
    intent = cluster.intent
    intent["nodes"][holder]["roles"] = ["manager"]
    intent["services"]["web"]["command"] = "exit 1"
    cluster.write(intent)
    try:
        with cluster.load(LIGHT) as load:
            load.go_on(1)
            cluster.cli("apply", "ha", "--yes").expect(1)
            load.go_on(2)
        assert load.report.summary(GETS).failed == 0, f"objective: no request fails: {load.report.failures()}"
    finally:
        cluster.intent_file.write_bytes(before)
        cluster.cli("apply", "ha", "--yes").expect(0)


def test_a_lease_that_is_lost_and_comes_back_does_not_cost_a_load_balancer_its_address(whole_six: Cluster) -> None:
    cluster = whole_six
    holder = cluster.holder()
    own = cluster.address(holder)
    # What a DHCP client does: the floating IP comes back first, and is the interface's primary address from then on.
    renew = (
        'w=$(ip route show default); ip addr flush dev eth0; sleep 1; ip addr add "$0/24" dev eth0; ip route replace $w'
    )
    cluster.run(holder, "sh", "-c", renew, own)
    wait_until("the floating IP is back", 10, lambda: len(cluster.holders()) == 1)
    cluster.run(cluster.holder(), "systemctl", "restart", "keepalived")
    wait_until("exactly one holds it after a fail-over", 10, lambda: len(cluster.holders()) == 1)
    assert f" {own}/" in cluster.run(holder, "ip", "-o", "address", "show"), "the node still has its own address"
    wait_until("every worker answers", 20, cluster.all_workers_answer)
