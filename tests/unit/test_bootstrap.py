"""Bootstrap: which nodes it is about, and how its end is judged."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from nexus_ops.bootstrap import bootstrap_nodes, question, refuse_skipped
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
from nexus_ops.hostkeys import HostKey, Survey
from nexus_ops.intent.model import Intent
from nexus_ops.inventory import build_inventory, render_inventory
from nexus_ops.operation import Result
from nexus_ops.runner import Outcome

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "bootstrap.yml"


def read_playbook() -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = yaml.safe_load(PLAYBOOK.read_text())
    return plays


def test_playbook_is_about_every_node_of_the_intent(environment: Environment, intent: Intent) -> None:
    """One that lost a role is still a node; one that left the intent is not."""
    before = build_inventory(intent, environment.folder)
    before["all"]["children"]["lb"]["hosts"]["w1"] = {}
    before["all"]["hosts"]["w9"] = {"ansible_host": "192.0.2.39"}
    before["all"]["children"]["worker"]["hosts"]["w9"] = {}
    inventory = build_inventory(intent, environment.folder, before)
    assert "w1" in inventory["all"]["children"]["retired_lb"]["hosts"]
    environment.hosts.write_text(render_inventory(inventory))
    for play in read_playbook():
        listed = subprocess.run(
            [sys.executable, "-m", "ansible", "adhoc", "-i", str(environment.hosts), play["hosts"], "--list-hosts"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert set(listed.split()[2:]) == set(intent.nodes)


def test_sudo_reads_the_file_of_every_user() -> None:
    """It skips files whose name has a dot in it (sudoers(5))."""
    (task,) = (task for task in read_playbook()[0]["tasks"] if task["name"] == "Managed user can sudo")
    (file,) = task["vars"]["__bootstrap_sudoers"]
    path = jinja2.Template(file["path"]).render(__bootstrap_managed_user="john.doe")
    assert path == "/etc/sudoers.d/nexus-ops-john_doe"
    assert jinja2.Template(file["content"]).render(__bootstrap_managed_user="john.doe").startswith("john.doe ALL=")


def test_node_that_was_passed_over_is_a_failure(intent: Intent) -> None:
    nodes = [intent.nodes["w1"], intent.nodes["w2"]]
    columns = {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0}
    done = Result("id", Outcome(returned=0, stats={"w1": columns, "w2": columns}), ExitCode.DONE, ())
    assert refuse_skipped(done, nodes) is done
    result = refuse_skipped(replace(done, outcome=Outcome(returned=0, stats={"w1": columns})), nodes)
    assert result.exit_code is ExitCode.FAILED
    assert [problem.node for problem in result.problems] == ["w2"]
    assert result.document()["ok"] is False
    ended = replace(done, outcome=Outcome(), exit_code=ExitCode.INTERRUPTED)
    assert refuse_skipped(ended, nodes) is ended


@pytest.mark.parametrize("read", [True, False])
def test_password_is_never_in_a_file(
    environment: Environment, intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    """A run that is killed removes nothing; so there must be no file that holds it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("nexus_ops.bootstrap.public_key", lambda *_: "ssh-ed25519 AAAA" * 10_000)
    password = "s3cret {{ 1 }} '\""
    shown: list[str] = []
    threads = threading.active_count()

    def run(*_: object, **arguments: Any) -> Result:
        pipe = arguments["extra_variables_file"]
        (folder,) = temporary.iterdir()
        assert pipe.is_fifo()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(temporary.rglob("*")) == [folder, pipe], "nothing else is there"
        if read:
            shown.append(show_variable("bootstrap_password", pipe))
        raise KeyboardInterrupt

    monkeypatch.setattr("nexus_ops.bootstrap.run_playbook", run)
    with pytest.raises(KeyboardInterrupt):
        bootstrap_nodes(environment, intent, [intent.nodes["w1"]], user=None, password=password, stream=sys.stdout)
    assert not any(temporary.iterdir())
    assert threading.active_count() == threads, "the writer has ended, read or not"
    assert shown == ([password] if read else [])


def show_variable(name: str, variables: Path) -> str:
    """Return what Ansible takes the variable for that is in the file `variables`."""
    command = ["ansible", "adhoc", "localhost", "-m", "debug", "-a", f"msg={{{{ {name} }}}}", "-e", f"@{variables}"]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True, timeout=30)
    return str(json.loads(done.stdout.partition("=>")[2])["msg"])


def test_question_is_about_keys_only_when_some_are_new(intent: Intent) -> None:
    node = intent.nodes["w1"]
    assert question(Survey(known=[node]), [node]) == "Bootstrap w1?"
    assert (
        question(Survey(new={"w1": (node, HostKey("ssh-ed25519", "AAAA"))}), [node])
        == "Pin these host keys and bootstrap w1?"
    )
