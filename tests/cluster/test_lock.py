"""One run at a time: two controllers, and holders that die, are cut off, or have the lock taken away."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster.cli import clean_environment
from tests.cluster.measure import note, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.cluster import Cluster

APPLY = ("apply", "ha", "--yes")
HOLD = """
import sys, time
from pathlib import Path
from nexus_ops.environment import Environment
from nexus_ops.intent.load import load_intent
from nexus_ops.locking import environment_lock
environment = Environment(Path(sys.argv[1]))
with environment_lock(environment, load_intent(environment.intent), "a long run") as lock:
    print("held", [link.name for link in lock.links], flush=True)
    while lock.look() and not lock.warnings:
        time.sleep(0.1)
    print(lock.lost or lock.warnings[0], flush=True)
    sys.stdin.readline()
    lock.strengthen(environment, load_intent(environment.intent))
    print("held", [link.name for link in lock.links], flush=True)
    sys.stdin.read()
"""


@contextmanager
def started(cluster: Cluster, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start `command` as another controller, for the length of a `with` block."""
    process = subprocess.Popen(
        command,
        cwd=cluster.project,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def locked(cluster: Cluster) -> dict[str, Any]:
    """Return by node who holds the lock, of those where somebody does."""
    nodes = cluster.cli("lock", "show", "--json").expect(0).document["nodes"]
    return {name: holder for name, holder in nodes.items() if holder}


def test_a_second_run_is_refused_or_waits(whole_six: Cluster) -> None:
    """It names who is at work, changes nothing, and with --lock-wait goes on once the first run is through."""
    cluster = whole_six
    assert locked(cluster) == {}
    assert "nobody held" in cluster.cli("lock", "release", "--yes").expect(0).out
    with started(cluster, cluster.cli.command(*APPLY)) as first:
        wait_until("the lock is taken", 10, lambda: locked(cluster))
        refused = cluster.cli(*APPLY).expect(5)
        assert len(refused.err.splitlines()) == 1
        assert "runs apply ha (run " in refused.err
        assert "--lock-wait" in refused.err
        waited = cluster.cli(*APPLY, "--limit", "lb2", "--lock-wait", "1m", "--json").expect(0)
        assert "waiting for the lock" in waited.err or first.poll() is not None
        assert first.wait(timeout=30) == 0
    results = [run["result"] for run in cluster.cli("runs", "list", "--json").document["runs"]]
    assert "locked" in results
    assert locked(cluster) == {}


def test_a_run_that_is_killed_blocks_nobody(whole_six: Cluster) -> None:
    """SIGKILL leaves nothing behind that holds the lock."""
    cluster = whole_six
    with started(cluster, cluster.cli.command(*APPLY)) as run:
        wait_until("the lock is taken", 10, lambda: locked(cluster))
        run.kill()
        run.wait()
        free = wait_until("the lock is free", 60, lambda: not locked(cluster))
    note("lock: holder killed, free after", f"{free:.1f} s", "60 s")


def test_a_released_run_is_interrupted(whole_six: Cluster) -> None:
    """`lock release` says whose run it was, and that run says who released it."""
    cluster = whole_six
    with started(cluster, cluster.cli.command(*APPLY)) as run:
        wait_until("the lock is taken", 10, lambda: locked(cluster))
        assert "released: " in cluster.cli("lock", "release", "--yes").expect(0).out
        out, err = run.communicate(timeout=40)
        assert run.returncode == 130, out + err
        assert "the lock was released by " in err
        assert "Traceback" not in err
    assert cluster.cli("runs", "show", "--json").document["result"] == "interrupted"


def test_a_lock_node_is_cut_off(whole_six: Cluster) -> None:
    """The node frees the lock; the run is warned and keeps it elsewhere; a node that is away stops nobody."""
    cluster = whole_six
    first, second, third = cluster.nodes()[:3]
    with started(cluster, (sys.executable, "-c", HOLD, str(cluster.folder))) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == f"held {[first, second]}\n"
        try:
            cluster.fault(first, "cut")
            shown = cluster.cli("lock", "show", "--json").expect(0).document
            assert first in shown["silent"]
            assert shown["nodes"][second]["command"] == "a long run"
            assert cluster.cli(*APPLY).expect(5).err.count("a long run") == 1
            free = wait_until(f"{first} frees the lock", 60, lambda: not cluster.succeeds(first, *HELD))
            note("lock: controller cut off, free after", f"{free:.1f} s", "60 s")
            assert f"{first} no longer holds the lock" in holder.stdout.readline()
            assert holder.stdin is not None
            holder.stdin.write("again\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == f"held {[second, third]}\n"
            assert set(locked(cluster)) == {second, third}, "a run takes the lock on another node when it is asked to"
            holder.stdin.close()
            holder.wait(timeout=10)
            with started(cluster, (sys.executable, "-c", HOLD, str(cluster.folder))) as other:
                assert other.stdout is not None
                assert other.stdout.readline() == f"held {[second, third]}\n"
        finally:
            cluster.fault(first, "heal")
    wait_until(f"{first} is back", 20, lambda: cluster.reachable(cluster.address(first), 22))


HELD = ("pgrep", "-f", "nexus-ops-loc[k]")
