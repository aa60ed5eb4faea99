"""What the roles of the monitoring work out, by Ansible itself: the quoting of YAML and of templates is part of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
IPV6 = {"m1": "fd10::10", "m2": "fd10::11"}
IPV4 = {"m1": "192.0.2.10", "m2": "192.0.2.11"}


def worked_out(folder: Path, expression: str, **variables: Any) -> Any:
    """Return what `expression` is for the host w1, with the variables of role netdata-node."""
    play = {
        "hosts": "w1",
        "gather_facts": False,
        "vars_files": [str(ROLES / "netdata-node/vars/main.yml")],
        "vars": {
            "ansible_connection": "local",
            "netdata_node_repository": {},
            "netdata_node_install": "auto",
            **variables,
        },
        "tasks": [
            {"ansible.builtin.copy": {"content": f"{{{{ {expression} | to_json }}}}", "dest": str(folder / "said")}}
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    call = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "w1,", str(folder / "play.yml")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "said").read_text())


def facts(distribution: str, version: str) -> dict[str, str]:
    major = version.partition(".")[0]
    return {"distribution": distribution, "distribution_version": version, "distribution_major_version": major}


@pytest.mark.parametrize(
    ("parents", "system", "first", "last"),
    [
        (IPV4, facts("Debian", "12"), "192.0.2.10:19999", "192.0.2.11:19999:SSL"),
        (IPV6, facts("Debian", "12"), "[fd10::10]:19999", "[fd10::11]:19999:SSL"),
        (IPV6, facts("Debian", "13"), "[fd10::10]:19999:SSL", "[fd10::11]:19999:SSL"),
    ],
)
def test_streams_go_to_addresses_with_their_port(
    tmp_path: Path, parents: dict[str, str], system: dict[str, str], first: str, last: str
) -> None:
    found = worked_out(tmp_path, "__netdata_node_own_destination", netdata_node_parents=parents, ansible_facts=system)
    assert found.split()[0] == first
    assert found.split()[-1] == last


def test_upstreams_repository_is_the_default(tmp_path: Path) -> None:
    found = worked_out(tmp_path, "__netdata_node_repository", ansible_facts=facts("Ubuntu", "22.04"))
    assert found["uri"].endswith("/repos/stable/ubuntu/")
    assert found["suites"] == "jammy/"
    assert found["key_url"].startswith("https://")
    assert len(found["fingerprints"][0]) == 40


def test_another_key_is_another_file(tmp_path: Path) -> None:
    own = {"uri": "https://192.0.2.1/", "suites": "trixie/", "key_url": "https://192.0.2.1/key.asc"}
    files = {
        worked_out(
            tmp_path,
            "__netdata_node_repository_key",
            netdata_node_repository=repository,
            ansible_facts=facts("Debian", "13"),
        )
        for repository in ({}, own, {**own, "fingerprints": ["AB"]}, {**own, "key_url": "https://192.0.2.1/new.asc"})
    }
    assert len(files) == 4
    assert all(file.startswith("/etc/apt/keyrings/nexus-netdata.") and file.endswith(".asc") for file in files)


@pytest.mark.parametrize(("offered", "new"), [("2.11.0", True), ("1.37.1-2", False), (None, True)])
def test_the_layout_is_that_of_the_version_which_the_repository_has(
    tmp_path: Path, offered: str | None, new: bool
) -> None:
    said = {} if offered is None else {"__netdata_node_offer": {"version": offered}}
    assert worked_out(tmp_path, "__netdata_node_is_new", ansible_facts=facts("Debian", "13"), **said) is new


def test_the_distributions_netdata_is_none_of_the_new_ones(tmp_path: Path) -> None:
    assert worked_out(tmp_path, "__netdata_node_is_new", ansible_facts=facts("Debian", "12")) is False
