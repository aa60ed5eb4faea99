"""Three machines that carry every role, a user who is not root, and an ssh port of their own: a whole cluster."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cli import run
from tests.cluster.cluster import BOOT_SECONDS, WEB_PORT
from tests.cluster.measure import MIX, note, wait_until
from tests.cluster.monitoring.monitored import complete
from tests.terminal import converse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cli import Result
    from tests.cluster.cluster import Cluster

LIVE_SECONDS = 60.0


def test_nodes_are_managed_as_a_user_who_is_not_root(three: Cluster) -> None:
    assert three.intent["ssh"]["user"] == "ops"
    assert three.intent["nodes"]["n3"]["ssh"]["port"] == 2222
    assert three.first_apply is not None
    assert set(three.first_apply.document["nodes"]) >= {"n1", "n2", "n3"}
    for node in three.nodes():
        assert three.succeeds(node, "id", "ops"), f"bootstrap made the user on {node}"


def test_the_second_apply_changes_nothing_and_the_plan_is_empty(three: Cluster) -> None:
    loaded = {lb: three.config_loaded(lb) for lb in three.nodes("lb")}
    result = three.cli("apply", "ha", "--yes", "--json").expect(0)
    assert result.document["changed"] == 0, f"objective: a second apply changes nothing\n{result}"
    assert {lb: three.config_loaded(lb) for lb in loaded} == loaded, "objective: no Caddy loads its configuration again"
    assert three.cli("plan", "ha", "--json").expect(0).document["changes"] == 0


def test_every_load_balancer_reaches_every_worker_and_nobody_else_does(three: Cluster) -> None:
    for node in three.nodes():
        assert three.answering(address=three.address(node)) == {"n1", "n2", "n3"}, f"{node} serves all workers"
        assert not three.reachable(three.address(node), WEB_PORT), f"port {WEB_PORT} of {node} is closed to others"


def test_the_loss_of_a_node_that_is_everything_is_over_within_a_second(three: Cluster) -> None:
    lost = three.holder()
    with three.load() as load:
        load.go_on(3)
        struck = time.time()
        three.fault(lost, "power-off")
        load.go_on(9)
        undone = time.time()
        three.fault(lost, "power-on")
        recovered = wait_until(f"{lost} answers again after it was powered on", BOOT_SECONDS, three.all_workers_answer)
        load.go_on(3)
    measured = three.record("node with all roles powered off", load.report, recovered)
    worst = max(measured.gets.outage_ms, measured.gets.silence_ms)
    assert worst < 1000, f"objective: outage under 1000 ms when {lost} is powered off, measured {worst} ms"
    late = load.report.failures(MIX, since=struck + 2, until=undone)
    assert not late, f"objective: nothing fails any more 2 s after the fault: {late}"
    assert not load.report.failures(since=undone), f"objective: nothing fails when {lost} returns"
    assert measured.posts_run_twice == 0, "objective: no POST without a key is processed twice"
    wait_until("one node holds the floating IP once all are back", 10, lambda: len(three.holders()) == 1)


LOGIN = """
printf 'UMASK %s\n' {umask} >>/etc/login.defs
grep -q pam_umask /etc/pam.d/common-session || echo 'session optional pam_umask.so' >>/etc/pam.d/common-session
printf "Authorised use only. It's logged.\n" | tee /etc/motd >/etc/banner
echo 'Banner /etc/banner' >/etc/ssh/sshd_config.d/banner.conf
sshd -t && systemctl reload ssh
mount --bind /tmp /tmp # what services have there stays
mount -o remount,bind,noexec,nosuid,nodev /tmp
usermod --shell "$(command -v {shell})" ops
mkdir -p ~ops/.config/fish
for file in .bashrc .zshenv .config/fish/config.fish; do
    echo 'echo "It'"'"'s late. ID=windows, Python is installed"' >~ops/$file.new
    mv ~ops/$file.new ~ops/$file
done
chown -R ops: ~ops
pkill -u ops sshd || true # a connection that is kept would keep the umask too
"""


def test_strange_shells_banners_and_hard_umasks_are_no_obstacle(three: Cluster) -> None:
    """They stay so for the tests after this one, of which the first enables the monitoring."""
    logins = {"n1": ("bash", "077"), "n2": ("zsh", "027"), "n3": ("fish", "077")}
    for node, (shell, umask) in logins.items():
        if shell != "bash":
            three.run(node, "sh", "-c", f"apt-get update -q && apt-get install -qy --no-install-recommends {shell}")
        three.run(node, "sh", "-ec", LOGIN.format(shell=shell, umask=umask))
    (three.folder / "apps/web/new").touch()  # another release
    for command in ("bootstrap --yes", "doctor", "lock show", "services", "plan ha"):
        result = three.cli(*command.split())
        assert result.code in {0, 1 if command == "services" else 4 if command == "plan ha" else 0}, result
    assert three.cli("apply", "ha", "--yes", "--json").expect(0).document["changed"] > 0
    three.cli("status").expect(0)
    assert three.cli("plan", "ha", "--json").expect(0).document["changes"] == 0
    three.run("n1", "usermod", "--shell", "/bin/dash", "ops")
    for command in ("bootstrap --yes", "doctor", "lock show", "services", "plan ha", "apply ha --yes", "status"):
        three.cli(*command.split()).expect(0)


def test_monitoring_is_enabled_by_one_command_and_a_second_one_changes_nothing(three: Cluster) -> None:
    three.cli("monitor", "enable", "--yes", "--json").expect(0)
    parents = three.nodes()[:2]  # of managers, the first two

    def live() -> bool:
        return complete(three.cli("monitor", "status", "--json").document["nodes"], parents)

    seconds = wait_until("objective: every node is live on both parents", LIVE_SECONDS, live, interval=0.5)
    note("three all-in-one hosts: live on both parents after", f"{seconds:.1f} s", f"{LIVE_SECONDS:g} s")
    again = three.cli("monitor", "enable", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"objective: a second run changes nothing\n{again}"
    assert three.cli("plan", "all", "--json").expect(0).document["changes"] == 0
    assert three.cli("dashboard", "--json").expect(0).document["via"] == "virtual_ip"


def with_ssh_configuration(cluster: Cluster, folder: Path, *arguments: str) -> Result:
    """Run a command of nexus-ops with `folder` as ~/.ssh, in a mount namespace: ssh does not ask $HOME."""
    script = 'mkdir -p ~/.ssh && mount --bind "$0" ~/.ssh && exec "$@"'
    command = ("unshare", "--mount", "sh", "-c", script, str(folder), *cluster.cli.command(*arguments))
    return run(command, cwd=cluster.project, timeout=200)


@contextmanager
def hidden_behind(cluster: Cluster, jump: str, *hidden: str) -> Iterator[None]:
    """Let `hidden` refuse ssh from everybody but the node `jump`, without a word, for the length of a `with` block."""
    ports = "tcp dport { 22, 2222 }"
    rules = f"""table inet behind {{ chain input {{
        type filter hook input priority -10; {ports} ip saddr != {cluster.address(jump)} drop
    }}
    }}"""
    try:
        for node in hidden:
            cluster.run(node, "sh", "-c", f"nft -f - <<'END'\n{rules}\nEND")
        yield
    finally:
        for node in hidden:
            cluster.run(node, "nft", "delete", "table", "inet", "behind", check=False)


@pytest.mark.parametrize("way", ["ProxyJump", "ProxyCommand"])
def test_nodes_behind_a_jump_host_are_reached_by_every_command(three: Cluster, tmp_path: Path, way: str) -> None:
    key, known = three.folder / "ssh_key", three.folder / "known_hosts"
    options = {
        "ProxyJump": f"ProxyJump ops@{three.address('n1')}",
        "ProxyCommand": f"ProxyCommand ssh -i {key} -o UserKnownHostsFile={known} -W %h:%p ops@{three.address('n1')}",
    }
    (tmp_path / "config").write_text(
        f"Host {three.address('n1')}\n  IdentityFile {key}\n  UserKnownHostsFile {known}\n"
        f"Host {three.address('n2')} {three.address('n3')}\n  {options[way]}\n  ControlPath {tmp_path}/%C\n"
    )
    pinned = known.read_text()
    with hidden_behind(three, "n1", "n2", "n3"):
        assert three.cli("status").expect(1), "without that configuration they do not answer"
        known.write_text("".join(line for line in pinned.splitlines(keepends=True) if three.address("n2") not in line))
        bootstrap = with_ssh_configuration(three, tmp_path, "bootstrap", "n2", "n3", "--yes")
        assert bootstrap.code == 0, bootstrap
        assert "ssh-ed25519" in known.read_text().partition(three.address("n2"))[2].splitlines()[0]
        with_ssh_configuration(three, tmp_path, "status").expect(0)
        if way == "ProxyJump":
            for command in ("doctor", "services", "lock show", "apply ha --yes", "deploy web --skip-unreachable --yes"):
                with_ssh_configuration(three, tmp_path, *command.split()).expect(0)
    known.write_text(pinned)


def test_an_agent_with_many_keys_does_not_stand_in_the_way(three: Cluster, tmp_path: Path) -> None:
    for number in range(7):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / f"key{number}"], check=True)
    script = 'ssh-add -q "$0"/key?; exec "$@"'
    for command in (["bootstrap", "--yes"], ["status"], ["doctor"], ["lock", "show"], ["apply", "ha", "--yes"]):
        agent = ("ssh-agent", "sh", "-c", script, str(tmp_path), *three.cli.command(*command))
        run(agent, cwd=three.project, timeout=200).expect(0)


@pytest.mark.parametrize("variable", ["LC_ALL=C", "LC_ALL=POSIX", "LANG=xx_XX.UTF-8", "LC_ALL=xx_XX.UTF-8"])
def test_a_locale_that_ansible_would_refuse_is_replaced(three: Cluster, variable: str) -> None:
    command = ("env", "--unset=LANG", "--unset=LC_ALL", variable, *three.cli.command("services"))
    run(command, cwd=three.project, timeout=60).expect(0)


def test_sudo_may_ask_for_a_password(three: Cluster) -> None:
    password = "correct horse {{ battery }}"
    for node in three.nodes():
        rules = "rm /etc/sudoers.d/nexus-ops-ops; echo 'ops ALL=(ALL:ALL) ALL' >/etc/sudoers.d/ops"
        three.run(node, "sh", "-ec", f"{rules}; echo 'ops:{password}' | chpasswd")
    refused = three.cli("apply", "ha", "--yes").expect(3)
    assert "n1: sudo: a password is required" in refused.err
    for command in ("lock show", "status", "apply ha --yes"):
        code, shown = converse(
            three.cli.command(*command.split(), "--ask-become-pass"),
            [("Password of sudo on the nodes: ", f"{password}\n")],
            cwd=three.project,
            seconds=200,
        )
        assert code == 0, shown
        assert "correct horse" not in shown, "it is not shown"
        assert shown.count("Password of sudo") == 1, "it is asked once"
    assert not subprocess.run(["grep", "-rlF", "correct horse", three.project], check=False, capture_output=True).stdout
    secret = three.folder / "secrets/sudo_password"
    secret.touch(mode=0o600)
    secret.write_text(f"{password}\n")
    for command in ("bootstrap --yes", "doctor", "status", "services", "lock show", "plan ha"):
        three.cli(*command.split()).expect(0)
    assert three.cli("apply", "ha", "--yes", "--json").expect(0).document["changed"] == 0
    assert not three.succeeds("n1", "test", "-e", "/etc/sudoers.d/nexus-ops-ops"), "bootstrap leaves sudo as it is"
    found = subprocess.run(
        ["grep", "-rlF", "correct horse", three.project], capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == [str(secret)], "the password is nowhere else on the controller"
