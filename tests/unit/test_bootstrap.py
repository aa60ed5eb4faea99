"""Bootstrap: which nodes it is about, and how its end is judged."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import yaml

from nexus_ops.bootstrap import refuse_skipped
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
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
    (file,) = task["node_state"]["files"]
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
