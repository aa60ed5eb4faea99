"""Deploys and rollbacks under load: no request fails, and what does not work leaves everything as it was."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.cluster import APP
from tests.cluster.load import Stream
from tests.cluster.long_requests import LongRequests
from tests.cluster.measure import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.cli import Result
    from tests.cluster.cluster import Cluster
    from tests.cluster.measure import Report

HEAVY = (Stream("get", "GET", "/", 160), Stream("post", "POST", "/", 40))
LIGHT = (Stream("get", "GET", "/", 60), Stream("keyed post", "POST", "/", 6, keyed=True))
KILLS = 2
START_TIMEOUT = 4  # seconds, of the role: a release that hangs is given up after that


@pytest.fixture(scope="module")
def cluster(six: Cluster) -> Iterator[Cluster]:
    """The cluster of six, its services as they were at the end; a release has 4 s to become healthy."""
    wait_until("every worker answers before the deploys", 30, six.all_workers_answer)
    intent = six.intent_file.read_bytes()
    shutil.copytree(APP, server(six).parent, ignore=shutil.ignore_patterns("__pycache__"))
    change_web(six, source={"path": "apps/deployed"})
    settings = six.folder / "group_vars/all.yml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(yaml.safe_dump({"service_deploy_start_timeout": START_TIMEOUT}))
    yield six
    settings.unlink()
    six.intent_file.write_bytes(intent)
    six.cli("apply", "ha", "--yes").expect(0)


def playbooks_of(cluster: Cluster) -> str:
    """Return the processes of Ansible that work on the cluster."""
    command = ["pgrep", "--full", "--list-full", f"ansible-playbook .*/{cluster.name}/"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def server(cluster: Cluster) -> Path:
    return cluster.folder / "apps/deployed/server.py"


def change_web(cluster: Cluster, **changes: Any) -> None:
    intent = cluster.intent
    web = intent["services"]["web"]
    web.update(changes)
    for key in [key for key, value in web.items() if value is None]:
        del web[key]
    cluster.write({**intent, "services": intent["services"]})


def releases(cluster: Cluster) -> dict[str, str]:
    """Return which release of web runs on each worker, by the working folder of the process that listens."""
    port = cluster.intent["services"]["web"]["port"]
    workers = cluster.intent["services"]["web"].get("nodes") or cluster.nodes("worker")
    found = {}
    for worker in workers:
        found[worker] = cluster.run(worker, "readlink", f"/proc/{cluster.main_process(worker, port)}/cwd").strip()
    return {worker: folder.rpartition("/")[2] for worker, folder in found.items()}


def has_switched(cluster: Cluster, worker: str, before: dict[str, str]) -> bool:
    """Return whether a worker has seen another release of web healthy than `before`."""
    record = json.loads(cluster.run(worker, "cat", "/var/lib/nexusops/services/web.json"))
    return bool(record["release"] != before[worker])


def answering_releases(cluster: Cluster) -> set[str]:
    """Return which releases answer clients."""
    answers = (cluster.get() for _ in range(24))
    return {answer["release"] for answer in answers if answer}


def expect_no_failure(cluster: Cluster, what: str, report: Report) -> None:
    """Put the load into the table of the session and see that nothing failed or ran twice."""
    measured = cluster.record(what, report)
    failures = report.failures(HEAVY)
    assert not failures, f"objective: no request fails while {what}: {failures[:10]}"
    assert measured.posts_run_twice == 0, f"objective: no POST is processed twice while {what}"


def test_a_deploy_and_a_rollback_under_load_fail_no_request(cluster: Cluster) -> None:
    before = set(releases(cluster).values())
    assert len(before) == 1
    server(cluster).write_text(server(cluster).read_text() + "# the second release\n")
    change_web(cluster, drain_timeout="11s")
    with cluster.load(HEAVY) as load, LongRequests(cluster.virtual_ip) as long:
        load.go_on(1)
        deployed = cluster.cli("deploy", "web", "--yes", "--json").expect(0)
        load.go_on(1)
    expect_no_failure(cluster, "a deploy", load.report)
    assert not long.failures
    assert long.answered == 10, "the ten requests of ten seconds were answered to their end"
    after = set(releases(cluster).values())
    assert len(after) == 1
    assert after != before
    assert answering_releases(cluster) == after
    for node in cluster.nodes("worker"):
        assert deployed.document["nodes"][node]["changed"] >= 2
    change_web(cluster, drain_timeout="4s")
    waiting = LongRequests(cluster.virtual_ip, seconds=3, websocket=True)
    with cluster.load(HEAVY, keep_alive=True) as load, waiting as long:
        load.go_on(1)
        cluster.cli("rollback", "web", "--yes", "--json").expect(0)
        load.go_on(1)
    expect_no_failure(cluster, "a rollback (kept connections)", load.report)
    assert long.answered == 10, long.failures
    assert long.silence < 2, f"the websocket heard nothing for {long.silence:.1f} s"
    assert long.releases[0] == next(iter(after))
    assert long.releases[-1] == next(iter(before)), "it was asked to connect again, and met the release before"
    assert set(releases(cluster).values()) == before == answering_releases(cluster)
    again = cluster.cli("apply", "ha", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"apply leaves a rollback alone\n{again}"
    assert set(releases(cluster).values()) == before


def expect_everything_as_before(cluster: Cluster, result: Result, before: dict[str, str], load: Report) -> None:
    assert releases(cluster) == before, "every worker runs the old release"
    assert answering_releases(cluster) == set(before.values())
    failures = load.failures(LIGHT)
    assert not failures, f"no request failed: {failures[:10]}"
    assert result.document["ok"] is False
    assert result.document["error"]["node"] in before


# What names the cause is the last line of many.
CRASH = """def main() -> None:
    for number in range(70):
        print("line", number, flush=True)
    raise SystemExit("no database")
"""
HEALTH = '        if path == "/healthz":\n'
CONTINUES = r"""        with contextlib.suppress(OSError):
            while path == "/healthz" and not STOPPING.wait(0.3):
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if path == "/healthz":
            self.close_connection = True
            return
"""
BAD = {
    "unhealthy": ("else HTTPStatus.OK\n", "else HTTPStatus.SERVICE_UNAVAILABLE\n", "503 Service Unavailable"),
    "crashes": ("def main() -> None:\n", CRASH, "no database"),
    "hangs": ("def main() -> None:\n", "def main() -> None:\n    time.sleep(3600)\n", r"waited 4 s"),
    "never answers to the end": (HEALTH, CONTINUES + HEALTH, r"waited 4 s"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_release_that_does_not_become_healthy_leaves_everything_as_it_was(cluster: Cluster, kind: str) -> None:
    old, new, reason = BAD[kind]
    good = server(cluster).read_text()
    before = releases(cluster)
    server(cluster).write_text(good.replace(old, new))
    with cluster.load(LIGHT) as load:
        result = cluster.cli("deploy", "web", "--yes", "--json").expect(1)
    server(cluster).write_text(good)
    expect_everything_as_before(cluster, result, before, load.report)
    assert re.search(reason, result.document["error"]["message"]), result
    assert "last log lines" in result.document["error"]["message"], result
    assert result.document["error"]["node"] == "w1", "the first worker is where it ended"


def test_a_release_that_dies_after_good_health_checks_is_taken_back_everywhere(cluster: Cluster) -> None:
    good = server(cluster).read_text()
    before = releases(cluster)
    dying = "threading.Timer(8, lambda: (print('out of memory', flush=True), os._exit(3))).start()"
    server(cluster).write_text(good.replace("def main() -> None:\n", f"def main() -> None:\n    {dying}\n"))
    with cluster.load(LIGHT) as load:
        result = cluster.cli("deploy", "web", "--yes", "--observe", "10s", "--json").expect(1)
    server(cluster).write_text(good)
    expect_everything_as_before(cluster, result, before, load.report)
    assert "ended after it had been seen healthy" in result.document["error"]["message"], result
    assert "out of memory" in result.document["error"]["message"], "with its last log lines"
    status = cluster.cli("status", "--json").expect(1).document
    assert re.fullmatch(r"web: release \w+ was abandoned \(w\d: .*", "; ".join(status["problems"])), status
    assert all(found["healthy"] for found in status["services"]["web"]["nodes"].values()), status
    assert cluster.cli("apply", "ha", "--yes", "--json").expect(0).document["changed"] == 0
    cluster.cli("status").expect(0)  # what runs is what is wanted again


def test_a_setup_that_fails_on_one_worker_touches_nothing(cluster: Cluster) -> None:
    before = releases(cluster)
    started = {node: cluster.main_process(node, 8080) for node in before}
    change_web(cluster, setup='test "$(cat /proc/sys/kernel/hostname)" != w3 || { echo no compiler here; exit 7; }')
    result = cluster.cli("deploy", "web", "--yes", "--json").expect(1)
    change_web(cluster, setup=None)
    error = result.document["error"]
    assert error["node"] == "w3"
    assert "exit 7" in error["message"]
    assert "no compiler here" in error["message"]
    assert releases(cluster) == before
    assert {node: cluster.main_process(node, 8080) for node in before} == started, "no process was touched"


def test_a_killed_deploy_is_completed_by_the_same_command(cluster: Cluster) -> None:
    server(cluster).write_text(server(cluster).read_text() + "# not killed\n")
    whole = cluster.cli("deploy", "web", "--yes").expect(0).seconds
    with cluster.load(LIGHT) as load:
        for number in range(KILLS):
            before = releases(cluster)
            server(cluster).write_text(server(cluster).read_text() + f"# killed {number}\n")
            process = cluster.cli.start("deploy", "web", "--yes")
            if number % 2:
                wait_until("w2 has switched", 60, partial(has_switched, cluster, "w2", before))
                time.sleep(random.uniform(0, 1))
            else:
                time.sleep(random.uniform(0.1, 0.4) * whole)
            assert process.poll() is None, "it was killed in the middle"
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_until("nothing of the killed run is left", 5, lambda: not playbooks_of(cluster))
            cluster.cli("deploy", "web", "--yes").expect(0)
            assert len(set(releases(cluster).values())) == 1
    failures = load.report.failures(LIGHT)
    assert not failures, f"no request failed: {failures[:10]}"
    again = cluster.cli("deploy", "web", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"nothing is left to do\n{again}"


def test_a_service_that_exits_once_while_it_starts_is_a_good_release(cluster: Cluster) -> None:
    good = server(cluster).read_text()
    exits = """def main() -> None:
    if not (STATE / "began").exists():
        (STATE / "began").touch()
        raise SystemExit("no database yet")
"""
    server(cluster).write_text(good.replace("def main() -> None:\n", exits))
    before = releases(cluster)
    cluster.cli("deploy", "web", "--yes").expect(0)
    assert set(releases(cluster).values()).isdisjoint(before.values())
    server(cluster).write_text(good)


def test_a_rollout_that_was_cut_short_is_completed_after_a_node_was_booted_again(cluster: Cluster) -> None:
    server(cluster).write_text(server(cluster).read_text() + "# cut short\n")
    before = releases(cluster)
    process = cluster.cli.start("deploy", "web", "--yes")
    wait_until("w1 has switched", 60, lambda: has_switched(cluster, "w1", before))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until("nothing of the killed run is left", 5, lambda: not playbooks_of(cluster))
    cluster.fault("w1", "power-off")
    cluster.fault("w1", "power-on")
    wait_until("w1 answers ssh again", 60, lambda: cluster.reachable(cluster.address("w1"), 22))
    cluster.cli("deploy", "web", "--yes").expect(0)
    after = releases(cluster)
    assert len(set(after.values())) == 1
    assert after["w1"] != before["w1"], "the good release stays"


def test_a_worker_that_is_lost_in_mid_rollout_is_the_one_that_is_named(cluster: Cluster) -> None:
    server(cluster).write_text(server(cluster).read_text() + "# lost in the middle\n")
    before = releases(cluster)
    process = cluster.cli.start("deploy", "web", "--yes")
    wait_until("w1 has switched", 60, lambda: has_switched(cluster, "w1", before))
    cluster.fault("w1", "power-off")
    assert process.wait(timeout=200) in {1, 3}
    (last, *_) = cluster.cli("runs", "list", "--json").expect(0).document["runs"]
    assert last["error"]["node"] == "w1", last
    cluster.fault("w1", "power-on")
    wait_until("w1 answers ssh again", 60, lambda: cluster.reachable(cluster.address("w1"), 22))
    cluster.cli("deploy", "web", "--yes").expect(0)
    after = releases(cluster)
    assert len(set(after.values())) == 1
    assert after["w1"] != before["w1"]


def test_another_port_and_fewer_or_more_workers_fail_no_request(cluster: Cluster) -> None:
    with cluster.load(LIGHT) as load:
        load.go_on(1)
        change_web(cluster, port=8090)
        cluster.cli("deploy", "web", "--yes").expect(0)
        cluster.cli("deploy", "web", "--nodes", "w1,w2", "--yes").expect(0)
        assert cluster.answering() == {"w1", "w2"}
        assert cluster.intent["services"]["web"]["nodes"] == ["w1", "w2"], "nexus.yml says so"
        cluster.cli("deploy", "web", "--replicas", "3", "--yes").expect(0)
        wait_until("the third worker answers again", 10, cluster.all_workers_answer)
        load.go_on(1)
    failures = load.report.failures(LIGHT)
    assert not failures, f"no request failed: {failures[:10]}"
    assert not cluster.run("w1", "ss", "-Hltn", "sport = :8080"), "nothing listens on the port it left"


def test_a_worker_that_is_down_does_not_block_the_others_when_asked(cluster: Cluster) -> None:
    server(cluster).write_text(server(cluster).read_text() + "# without w3\n")
    before = releases(cluster)["w1"]
    cluster.fault("w3", "power-off")
    incomplete = cluster.cli("deploy", "web", "--yes", "--skip-unreachable", "--json").expect(3)
    assert incomplete.document["ok"] is False
    assert incomplete.document["nodes"]["w3"]["unreachable"] == 1
    cluster.fault("w3", "power-on")
    wait_until("w3 answers ssh again", 60, lambda: cluster.reachable(cluster.address("w3"), 22))
    cluster.cli("deploy", "web", "--yes").expect(0)
    found = set(releases(cluster).values())
    assert len(found) == 1
    assert before not in found
