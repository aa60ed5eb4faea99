"""Keys of apt repositories: gpg's own fingerprints are found, and other keys are refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.repository_key import fetch, fingerprints_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["ed25519", "rsa2048"])
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return an armored key that gpg made, with a subkey, and its fingerprint as gpg says it."""
    home = tmp_path_factory.mktemp("gpg", numbered=True)
    home.chmod(0o700)

    def gpg(*arguments: str) -> str:
        call = ["gpg", "--homedir", str(home), "--batch", "--passphrase", "", *arguments]
        return subprocess.run(call, check=True, capture_output=True, text=True).stdout

    gpg("--quick-generate-key", "Repository <repository@example.com>", request.param, "sign", "never")
    fingerprint = next(line.split(":")[9] for line in gpg("--with-colons", "-k").splitlines() if line.startswith("fpr"))
    gpg("--quick-add-key", fingerprint, "rsa2048", "encr", "never")
    file = home / "key.asc"
    file.write_text(gpg("--armor", "--export"))
    return file, fingerprint


def test_the_fingerprint_is_that_of_gpg(key: tuple[Path, str]) -> None:
    file, fingerprint = key
    assert fingerprints_of(file.read_bytes()) == [fingerprint]


def test_an_expected_key_is_taken(key: tuple[Path, str]) -> None:
    file, fingerprint = key
    spaced = " ".join([fingerprint[:20].lower(), fingerprint[20:]])
    assert fetch(file.as_uri(), [spaced, "0" * 40]) == file.read_bytes()
    assert fetch(file.as_uri(), []) == file.read_bytes()


def test_another_key_is_refused_and_named(key: tuple[Path, str]) -> None:
    file, fingerprint = key
    with pytest.raises(StateError, match=f"holds {fingerprint}; expected {'0' * 40}"):
        fetch(file.as_uri(), ["0" * 40])


def test_a_second_armored_block_is_refused(key: tuple[Path, str], tmp_path: Path) -> None:
    """apt trusts the keys of all blocks in a file, whatever the first one holds."""
    file, fingerprint = key
    twice = tmp_path / "twice.asc"
    twice.write_bytes(file.read_bytes() * 2)
    with pytest.raises(StateError, match="holds no single armored OpenPGP key"):
        fetch(twice.as_uri(), [fingerprint])


@pytest.mark.parametrize("text", ["", "<html>", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n-----END", "\n\nmQ==\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key.asc"
    file.write_text(text)
    with pytest.raises(StateError, match="holds no single armored OpenPGP key"):
        fetch(file.as_uri(), [])


def test_an_address_that_does_not_answer_is_named() -> None:
    with pytest.raises(StateError, match=r"https://127\.0\.0\.1:1/key\.asc cannot be fetched by this node: .*refused"):
        fetch("https://127.0.0.1:1/key.asc", [])
    with pytest.raises(StateError, match="over https"):
        fetch("http://127.0.0.1:1/key.asc", [])
