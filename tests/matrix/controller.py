"""The machine that a cell is managed from: its Python, its umask, its ~/.ssh and what names it knows."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cli import Cli

ROOT = Path(__file__).parents[2]
# In a mount namespace: ssh does not ask $HOME, and nothing of this machine is changed.
PLACE = """umask "$1"; mkdir -p ~/.ssh; mount --bind "$2" ~/.ssh; mount --bind "$3" /etc/hosts; shift 3; exec "$@" """


@dataclass(frozen=True)
class Controller(Cli):
    """`nexus-ops` as on a machine with this umask, this ~/.ssh, this /etc/hosts, and these variables."""

    umask: str = "022"
    ssh: str = ""
    hosts: str = ""
    variables: tuple[str, ...] = ()

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command line; hosts are booted and broken from here, whatever the controller under test is."""
        plain = super().command(*arguments)
        if arguments[0] == "sandbox":
            return plain
        place = ("unshare", "--mount", "sh", "-c", PLACE, "sh", self.umask, self.ssh, self.hosts)
        return (*place, "env", *self.variables, *plain)


def find_python(version: str) -> Path | None:
    """Return a Python of this version that runs, from PATH or from pyenv, None: there is none."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [*([Path(on_path)] if on_path else []), *sorted(kept.glob(f"{version}.*/bin/python{version}"))]
    for candidate in candidates:
        if (
            subprocess.run([candidate, "-c", "import ensurepip, venv"], check=False, capture_output=True).returncode
            == 0
        ):
            return candidate
    return None


def program(version: str) -> str | None:
    """Return the path of nexus-ops under this Python, installed where it is not yet; None: no such Python is here."""
    python = find_python(version)
    if python is None:
        return None
    if python == Path(sys.executable):
        return str(Path(sys.prefix) / "bin/nexus-ops")
    folder = ROOT / ".cache" / f"python-{version}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin/pip", "install", "--quiet", "--editable", ROOT], check=True)
            (folder / "installed").touch()
    return str(folder / "bin/nexus-ops")
