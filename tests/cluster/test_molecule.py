"""The molecule scenarios, one test each; their hosts are booted once."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
SCENARIOS = sorted(path.parent.name for path in CHECKOUT.glob("molecule/*/converge.yml"))
SECONDS = 900


def molecule(environment: dict[str, str], *arguments: str) -> None:
    """Run molecule; fails with its output when it does."""
    done = subprocess.run(
        [Path(sys.executable).with_name("molecule"), *arguments],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"molecule {' '.join(arguments)}\n{done.stdout}"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Boot the hosts of all scenarios; yields the environment variables that lead molecule to them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "ANSIBLE_"))}
    environment |= {
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path_factory.mktemp("molecule")),
        "NEXUS_MOLECULE_NAME": f"molecule-{secrets.token_hex(3)}",
        "NO_COLOR": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    try:
        molecule(environment, "create", "--scenario-name", "default")
        yield environment
    finally:
        molecule(environment, "destroy", "--scenario-name", "default")


def test_there_is_a_scenario_for_each_role_with_tasks_and_one_for_all_of_them() -> None:
    roles = sorted(path.parents[1].name for path in CHECKOUT.glob("roles/*/tasks/main.yml"))
    assert sorted([*roles, "whole-cluster"]) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(hosts: dict[str, str], scenario: str) -> None:
    molecule(hosts, "test", "--destroy", "never", "--scenario-name", scenario)
