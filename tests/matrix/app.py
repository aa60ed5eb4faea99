"""The service `web` of a cell: a program of some kind, from some kind of source, in releases that can be told apart."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import image
from tests.cluster.cluster import APP, WEB_PORT, service

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster
    from tests.matrix.axes import Cell

PROGRAMS = Path(__file__).with_name("programs")
ANSWER = '{"host": "{system.hostname}", "release": "{file.%s}", "service": "web"}'
"""What Caddy, as a static program of somebody's, answers: it fills the placeholders in (its documentation,
"Conventions", placeholders)."""

COMMANDS = {
    "own": "python3 server.py",
    "flask": '.venv/bin/gunicorn --workers 2 --bind "[::]:$PORT" app:app',
    "node": "node server.js",
    "static": f"./caddy respond --listen :{WEB_PORT} --body '{ANSWER % 'version.txt'}'",
}
FLASK_SETUP = "python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt"


class App:
    """What `web` is made from, on the controller."""

    def __init__(self, cluster: Cluster, cell: Cell) -> None:
        """Write the first release."""
        self.cluster = cluster
        self.cell = cell
        self.folder = cluster.folder / "apps/web"
        self.number = 0
        self._write_program()
        self.release()

    def release(self) -> None:
        """Make another release, in the source and in nexus.yml."""
        self.number += 1
        (self.folder / "version.txt").write_text(f"release {self.number}")
        intent = self.cluster.intent
        services = intent.setdefault("services", {})
        services["web"] = {**self._settings(), "source": getattr(self, f"_from_{self.cell.source}")()}
        self.cluster.write(intent)

    def _write_program(self) -> None:
        if self.cell.service == "static":
            self.folder.mkdir(parents=True)
            shutil.copy(Path(sys.executable).with_name("caddy"), self.folder)
            return
        program = APP if self.cell.service == "own" else PROGRAMS / self.cell.service
        shutil.copytree(program, self.folder, ignore=shutil.ignore_patterns("__pycache__"))

    def _settings(self) -> dict[str, Any]:
        settings = {**service("web", WEB_PORT), "command": COMMANDS[self.cell.service]}
        if self.cell.service == "flask":
            settings["setup"] = FLASK_SETUP
        if self.cell.source == "image":
            del settings["command"]
        return settings

    def _from_path(self) -> dict[str, str]:
        return {"path": "apps/web"}

    def _from_git(self) -> dict[str, str]:
        def git(*arguments: str) -> None:
            identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
            subprocess.run(["git", "-C", self.folder, *identity, *arguments], check=True, capture_output=True)

        if not (self.folder / ".git").exists():
            git("init", "--initial-branch", "main")
        git("add", "--all")
        git("commit", "--message", f"release {self.number}")
        return {"git": f"file://{self.folder}", "ref": "main"}

    def _from_archive(self) -> dict[str, str]:
        target = self.cluster.folder / "apps/web.tar.gz"
        with tarfile.open(target, "w:gz", compresslevel=1) as archive:
            archive.add(self.folder, ".")
        return {"archive": "apps/web.tar.gz", "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}

    def _from_image(self) -> dict[str, str]:
        command = ["/caddy", "respond", "--listen", f":{WEB_PORT}", "--body", ANSWER % "/version.txt"]
        version = (self.folder / "version.txt").read_bytes()
        image.write(self.cluster.folder / "apps/web.tar", command, {"version.txt": version})
        return {"image": "registry.example.com/greeter:1", "archive": "apps/web.tar"}
