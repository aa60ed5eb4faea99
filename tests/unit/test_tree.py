"""Rules for the checkout as a whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# In two parts, so that this file does not hold what it looks for. Where packages come from is the machine's own
# setting: a host name of ours would be wrong wherever there is a mirror.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("deb.debian", "org"),
        ("security.debian", "org"),
        ("archive.ubuntu", "com"),
        ("ports.ubuntu", "com"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("galaxy.ansible", "com"),
        ("registry.npmjs", "org"),
        ("caddyserver", "com/api"),
    )
]


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows, below the checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    return [CHECKOUT / name for name in listing.split("\0") if name and (CHECKOUT / name).is_file()]


@pytest.mark.parametrize("registry", REGISTRIES)
def test_no_package_registry_is_named(registry: str) -> None:
    holders = [str(path.relative_to(CHECKOUT)) for path in tracked() if registry in path.read_text(errors="replace")]
    assert holders == []


def test_no_environment_of_anybody_is_tracked() -> None:
    names = {path.relative_to(CHECKOUT).parts[1] for path in tracked("inventories/*/*")}
    assert names <= {"example"}


def test_scripts_can_be_executed() -> None:
    scripts = tracked("install.sh", "tests/run", ".ci/run")
    assert len(scripts) == 3
    for path in scripts:
        assert path.stat().st_mode & 0o111, path
