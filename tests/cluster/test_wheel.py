"""The wheel, built from the source distribution and installed alone, manages a cluster that the checkout made."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cli import Cli, run

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

CHECKOUT = Path(__file__).parents[2]
FORBIDDEN = ("vault", "known_hosts", "hosts.yml", "/secrets/", "/runs/", ".git/", "__pycache__", "/tests/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that `python -m build` makes where somebody has tried the example out, which makes secrets."""
    folder = tmp_path_factory.mktemp("dist")
    copy = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", ".cache", ".ansible"))
    tried = Cli(copy, "example")
    tried("inventory").expect(0)
    assert (copy / "inventories/example/secrets/ca.key").exists()
    run((sys.executable, "-m", "build", "--outdir", str(folder), str(copy)), cwd=folder, timeout=300).expect(0)
    (built,) = folder.glob("*.whl")
    return built


def test_the_distributions_hold_what_is_needed_and_nothing_private(wheel: Path) -> None:
    (source,) = wheel.parent.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    with tarfile.open(source) as tar:
        everything = names + tar.getnames()
    for wanted in ("playbooks/ha.yml", "playbooks/site.yml", "playbooks/bootstrap.yml", "roles/caddy-lb/meta/main.yml"):
        assert f"nexus_ops/_content/{wanted}" in names
    leaked = [name for name in everything if any(word in f"/{name}" for word in FORBIDDEN)]
    assert not leaked, f"these do not belong into a distribution: {leaked}"


def test_the_wheel_alone_finds_the_cluster_as_the_checkout_left_it(
    wheel: Path, whole_six: Cluster, tmp_path: Path
) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    pip = (str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    run(pip, cwd=tmp_path, timeout=400).expect(0)
    located = subprocess.run(
        [home / "bin/python", "-P", "-c", "import nexus_ops; print(nexus_ops.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert located.startswith(str(home)), f"the installed package is what runs, not {located}"

    installed = Cli(whole_six.project, whole_six.name, program=str(home / "bin/nexus-ops"))
    whole_six.cli("inventory").expect(0)  # as the checkout writes it, whatever test was the last
    assert installed("inventory", "--check").expect(0)
    checked = installed("apply", "ha", "--check", "--json").expect(0)
    assert checked.document["changed"] == 0, f"check mode of the wheel finds nothing to do\n{checked}"
    result = installed("apply", "ha", "--yes", "--json").expect(0)
    assert result.document["changed"] == 0, f"objective: the wheel does the same as the checkout\n{result}"

    module = run((str(home / "bin/python"), "-m", "nexus_ops", "--version"), cwd=tmp_path, timeout=60).expect(0)
    assert "nexus-ops" in module.out
    imported = run(
        (str(home / "bin/python"), "-X", "importtime", "-m", "nexus_ops", "--help"), cwd=tmp_path, timeout=60
    ).expect(0)
    assert "ansible" not in imported.err.replace("nexus_ops", ""), "--help imports nothing of Ansible"
