"""Files that something else puts on the node."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex, empty when there is no such file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    return digest.hexdigest()


def unmet(needs: Iterable[dict[str, Any]]) -> list[str]:
    """Return the paths that are missing or have another checksum (`path`, and `sha256` where it matters)."""
    return [
        need["path"]
        for need in needs
        if not (sha256_of(Path(need["path"])) == need["sha256"] if need.get("sha256") else Path(need["path"]).exists())
    ]
