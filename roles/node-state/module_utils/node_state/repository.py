"""What an apt repository offers, asked in a private folder: apt's own sources and lists stay as they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.module_utils.node_state.commands import last_words, run
from ansible.module_utils.node_state.errors import StateError

SECONDS = 120.0


def offered(package: str, key: bytes, uri: str, suites: str, components: str = "") -> str:
    """Return the newest version of `package` that the repository has. Raises StateError, also where it has none."""
    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads with an account of its own
        signed_by, source = folder / "key.asc", folder / "asked.sources"
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "cache/archives/partial").mkdir(parents=True)
        (folder / "status").touch()
        signed_by.write_bytes(key)
        signed_by.chmod(0o644)
        fields = {"Types": "deb", "URIs": uri, "Suites": suites, "Components": components, "Signed-By": str(signed_by)}
        source.write_text("".join(f"{key}: {value}\n" for key, value in fields.items() if value), encoding="utf-8")
        source.chmod(0o644)
        places = {
            "Dir::Etc::sourcelist": source,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Acquire::Retries": 1,
            "Acquire::http::Timeout": 20,
            "Acquire::https::Timeout": 20,
            "APT::Update::Post-Invoke::": "true",
        }
        options = [word for place, value in places.items() for word in ("-o", f"{place}={value}")]
        updated = run(["apt-get", *options, "-q", "update"], timeout=SECONDS)
        for line in run(["apt-cache", *options, "policy", package]).stdout.splitlines():
            label, _, version = line.strip().partition(": ")
            if label == "Candidate" and version != "(none)":
                return version
        # The cause stands below the address that failed; what apt concludes of it is less.
        causes = [line for line in updated.stdout.splitlines() if line.startswith("  ")]
        complaints = [line[2:] for line in updated.stderr.splitlines() if line.startswith(("E:", "W:"))]
        reason = (causes or complaints or [last_words(updated, 1)])[0].strip()
        if updated.returncode == 0 and not causes and not complaints:
            raise StateError(f"{uri} ({suites}) has no package {package}")
    raise StateError(f"{uri} ({suites}) cannot be read by this node: {reason}")
