"""The demo: one command, a service that outlives the loss of a worker, and a dashboard that shows it."""

from __future__ import annotations

import secrets
import subprocess
import urllib.request
from pathlib import Path

import requests

from tests.cluster.cli import Cli
from tests.cluster.measure import wait_until


def test_one_command_gives_a_service_that_outlives_a_worker_and_a_dashboard(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/inventories/*/\n")  # as in a checkout of ours
    cli = Cli(tmp_path, f"demo-{secrets.token_hex(3)}")
    try:
        document = cli("demo", "--json", timeout=600).expect(0).document
        url = document["url"]
        auth = ("admin", Path(document["password_file"]).read_text().strip())
        assert requests.get(document["dashboard"], auth=auth, timeout=5).status_code == 200
        assert requests.get(document["dashboard"], timeout=5).status_code == 401
        wait_until("every node is live", 60, lambda: cli("monitor", "status").code == 0, interval=1)
        cli("sandbox", "fault", "w1", "power-off").expect(0)
        answers = [urllib.request.urlopen(url, timeout=5).read().decode() for _ in range(10)]
        assert {answer.split()[-1] for answer in answers} == {"w2", "w3"}, "every request was answered, by the others"
    finally:
        cli("sandbox", "down", "--purge", "--yes", timeout=120).expect(0)
