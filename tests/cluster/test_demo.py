"""The demo: one command, and a service that answers and outlives the loss of a worker."""

from __future__ import annotations

import secrets
import subprocess
import urllib.request
from typing import TYPE_CHECKING

from tests.cluster.cli import Cli

if TYPE_CHECKING:
    from pathlib import Path


def test_one_command_gives_a_service_that_outlives_a_worker(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/inventories/*/\n")  # as in a checkout of ours
    cli = Cli(tmp_path, f"demo-{secrets.token_hex(3)}")
    try:
        url = cli("demo", "--json", timeout=600).expect(0).document["url"]
        cli("sandbox", "fault", "w1", "power-off").expect(0)
        answers = [urllib.request.urlopen(url, timeout=5).read().decode() for _ in range(10)]
        assert {answer.split()[-1] for answer in answers} == {"w2", "w3"}, "every request was answered, by the others"
    finally:
        cli("sandbox", "down", "--purge", "--yes", timeout=120).expect(0)
