"""The lock: taken by real processes on this machine, with a file of their own in place of the one below /run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nexus_ops import lock_holder
from nexus_ops.environment import Environment
from nexus_ops.intent.model import Intent
from nexus_ops.lock_link import Link, link_command
from nexus_ops.locking import Lock, describe

Connect = Callable[..., Link]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Return what connects to a node: name, seconds of silence after which the controller counts as gone."""
    links: list[Link] = []
    text = Path(lock_holder.__file__).read_text()

    def start(node: str = "n1", silence: float = 20.0) -> Link:
        program = text.replace(lock_holder.PATH, str(tmp_path / node / "run.lock"))
        program = program.replace("SILENCE = 20.0", f"SILENCE = {silence}")
        links.append(Link(node, [sys.executable, "-c", program]))
        until(lambda: links[-1].state != "asked")
        return links[-1]

    yield start
    for link in links:
        link.close()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def take(link: Link, by: str = "ann@laptop") -> dict[str, object]:
    answer = link.ask({"do": "take", "who": {"by": by, "command": "apply ha"}}, 5)
    assert answer is not None
    return answer


def holder(link: Link) -> dict[str, object] | None:
    answer = link.ask({"do": "show"}, 5)
    assert answer is not None
    found: dict[str, object] | None = answer["holder"]
    return found


def test_the_second_one_is_told_who_has_it(connect: Connect) -> None:
    first, second = connect(), connect()
    assert take(first) == {"taken": True}
    found = take(second, "bob@desk")["holder"]
    assert isinstance(found, dict)
    assert (found["by"], found["command"]) == ("ann@laptop", "apply ha")


def test_a_controller_that_ends_gives_it_back(connect: Connect) -> None:
    first, second = connect(), connect()
    take(first)
    first.close()
    assert holder(second) is None
    assert take(second) == {"taken": True}


def test_a_holder_that_is_killed_gives_it_back(connect: Connect) -> None:
    first, second = connect(), connect()
    take(first)
    pid = (holder(second) or {})["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    until(lambda: holder(second) is None)


def test_a_controller_that_is_silent_loses_it(connect: Connect) -> None:
    first, second = connect(silence=0.3), connect()
    take(first)
    until(lambda: holder(second) is None)
    until(lambda: first.state == "gone")


def test_signs_of_life_keep_it(connect: Connect) -> None:
    first, second = connect(silence=0.5), connect()
    take(first)
    for _ in range(8):
        first.beat()
        time.sleep(0.1)
    assert holder(second) is not None


def test_release_ends_the_holder_and_tells_it_who_did_it(connect: Connect) -> None:
    first, second = connect(), connect()
    take(first)
    answer = second.ask({"do": "release", "by": "bob@desk"}, 5)
    assert answer is not None
    assert answer["released"]["by"] == "ann@laptop"
    lock = Lock([first])
    until(lambda: not lock.look())
    assert lock.lost == "the lock was released by bob@desk"


def test_release_of_a_free_lock(connect: Connect) -> None:
    assert connect().ask({"do": "release", "by": "bob@desk"}, 5) == {"released": None}


def test_the_loss_of_one_node_warns_and_that_of_both_ends_the_run(connect: Connect) -> None:
    first, second = connect("n1"), connect("n2")
    lock = Lock([first, second])
    take(first)
    take(second)
    assert lock.look()
    first.close()
    until(lambda: lock.look() and lock.warnings)
    assert "n1 no longer holds the lock" in lock.warnings[0]
    second.close()
    until(lambda: not lock.look())
    assert lock.lost.startswith("the lock is lost: n2")


def test_a_node_that_cannot_be_reached_says_why() -> None:
    link = Link("n1", ["sh", "-c", "echo 'ssh: connect to host 192.0.2.9: No route to host' >&2; exit 255"])
    until(lambda: link.state == "gone")
    assert link.reason == "connect to host 192.0.2.9: No route to host"
    link.close()


def test_ssh_is_called_with_the_settings_of_the_environment(environment: Environment, intent: Intent) -> None:
    plain = link_command(environment, intent.nodes["w2"])
    assert plain[-2] == "root@192.0.2.32"
    assert plain[plain.index("-p") + 1] == "2222"
    assert f'UserKnownHostsFile="{environment.known_hosts}"' in plain
    assert plain[-1].startswith("/usr/bin/python3 -c ")
    assert link_command(environment, intent.nodes["w1"])[-1].startswith("sudo -n /usr/bin/python3 -c ")


def test_description() -> None:
    words = describe({"by": "ann@laptop", "command": "apply ha", "run": "r1", "started": "2026-01-02T03:04:05+00:00"})
    assert words == "ann@laptop runs apply ha (run r1) since 2026-01-02 03:04:05 UTC"


STRANGE = """
import fcntl, struct, sys
file = open(sys.argv[1])
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))  # F_OFD_SETLK: it belongs to no process
print("held", flush=True)
sys.stdin.read()
"""


def test_a_stranger_is_named_and_left_alone(connect: Connect, tmp_path: Path) -> None:
    ours = connect()
    path = tmp_path / "n1/run.lock"
    assert path.stat().st_mode & 0o777 == 0o600
    with subprocess.Popen(
        [sys.executable, "-c", STRANGE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        found = take(ours)["holder"]
        assert isinstance(found, dict)
        assert f"process {stranger.pid} (" in describe(found)
        assert describe(found).endswith("has the lock, and is no run of Nexus Ops")
        released = ours.ask({"do": "release", "by": "bob@desk"}, 5)
        assert released is not None
        assert "stranger" in released["released"]
        assert stranger.poll() is None
        stranger.communicate()
    assert take(ours) == {"taken": True}
