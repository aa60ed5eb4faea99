"""The secrets of an environment: generated once, one file each, only where missing, readable by the owner only."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically

if TYPE_CHECKING:
    from nexus_ops.environment import Environment

STREAM_NAME = "nexus-parent"
"""The name in the certificate that all parents share: whoever connects to a parent looks for it."""

PASSWORD = "dashboard_password"  # noqa: S105  a file's name
PASSWORD_HASH = "dashboard_password.bcrypt"  # noqa: S105
_BCRYPT_COST = 10
_BCRYPT_BYTES = 72  # what bcrypt reads of a password

SUDO_PASSWORD = "sudo_password"  # noqa: S105  a file's name
"""Written by the user, where sudo on the nodes asks for a password."""

_VAULT = b"$ANSIBLE_VAULT;"

_SINGLE: dict[str, Callable[[], str]] = {
    # GUIDs, because Netdata accepts nothing else as a stream key.
    "stream_api_key": lambda: str(uuid.uuid4()),
    "parent_api_key": lambda: str(uuid.uuid4()),
    PASSWORD: lambda: secrets.token_urlsafe(18),
}


def ensure_secrets(environment: Environment) -> list[str]:
    """Generate the missing secrets of `environment`; return their names. An existing file is never touched.

    Only the hash of the dashboard's password is made again when that was changed. There is none for VRRP: version 3 has
    no authentication (RFC 5798, section 9), the lbs' firewall names the peers. Raises UsageError when half of a
    certificate with its key is missing, and for a password that cannot be one.
    """
    folder = environment.secrets
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _keep_out_of_git(environment)
    made = []
    for name, generate in _SINGLE.items():
        if not (folder / name).exists():
            _write(folder / name, generate() + "\n")
            made.append(name)
    made += _ensure_password_hash(folder)
    if not _has_pair(folder, "ca", "clients then have to trust a new authority"):
        from nexus_ops.certificates import make_authority

        made += _write_pair(folder, "ca", make_authority(f"Nexus Ops {environment.name} root CA", path_length=1))
    return made + _ensure_stream_certificates(environment)


def read_sudo_password(environment: Environment) -> str:
    """Return the password that sudo asks for on the nodes, the one that was typed first, "" where there is none.

    Raises UsageError when it is encrypted and ansible-vault cannot decrypt it.
    """
    if environment.sudo_password:
        return environment.sudo_password
    path = environment.secrets / SUDO_PASSWORD
    if not path.exists():
        return ""
    content = path.read_bytes()
    if content.startswith(_VAULT):
        vault = Path(sys.executable).with_name("ansible-vault")
        done = subprocess.run([vault, "view", path], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().splitlines()
            raise UsageError(
                f"{path} cannot be decrypted: {reason[-1] if reason else 'ansible-vault failed'}",
                next_step="set ANSIBLE_VAULT_PASSWORD_FILE, or decrypt it",
            )
        content = done.stdout
    return content.decode(errors="replace").rstrip()  # as Ansible's lookup of the file does


def require_password_hash(environment: Environment) -> None:
    """Raise UsageError when the dashboard's password is encrypted and its hash was never made."""
    if not (environment.secrets / PASSWORD_HASH).exists():
        path = environment.secrets / PASSWORD
        raise UsageError(
            f"{path} is encrypted, and the hash of it that the dashboard needs is not there",
            next_step=f"run: ansible-vault decrypt {path}; then this again; then you may encrypt it again",
        )


def _ensure_password_hash(folder: Path) -> list[str]:
    """Make the hash where it is missing or not that of the password any more; an encrypted password stays unread."""
    password, hashed = folder / PASSWORD, folder / PASSWORD_HASH
    # The time of the last change of the file itself cannot be set by hand. Checking a hash takes 50 ms: only then.
    if hashed.exists() and hashed.stat().st_ctime_ns > password.stat().st_ctime_ns:
        return []
    text = password.read_bytes().rstrip(b"\r\n")
    if text.startswith(_VAULT):
        return []
    if not text or len(text) > _BCRYPT_BYTES or b"\0" in text or b"\n" in text:
        raise UsageError(
            f"{password} holds no password: it must be one line of at most {_BCRYPT_BYTES} bytes",
            next_step="write another one, or remove the file: then one is made",
        )
    import bcrypt

    known = hashed.read_bytes().strip() if hashed.exists() else b""
    if known.startswith(_VAULT):
        raise UsageError(
            f"{hashed} is encrypted, and {password.name} was changed since",
            next_step=f"remove {hashed}: it is made again",
        )
    try:
        is_same = bcrypt.checkpw(text, known)
    except ValueError:  # no hash at all
        is_same = False
    if is_same:
        os.utime(hashed)
        return []
    _write(hashed, bcrypt.hashpw(text, bcrypt.gensalt(_BCRYPT_COST)).decode() + "\n")
    return [PASSWORD_HASH]


def _ensure_stream_certificates(environment: Environment) -> list[str]:
    """Make the authority of the streams and the parents' certificate: the nodes trust it for nothing else."""
    folder = environment.secrets
    authority = _has_pair(folder, "stream_ca", "the nodes get a new authority with the next run")
    leaf = _has_pair(folder, "stream", "a new certificate is made")
    if leaf and authority:
        return []
    if leaf:
        raise UsageError(
            f"{folder / 'stream_ca.crt'} and its key are missing, and stream.crt is there",
            next_step="restore them from your backup, or remove stream.crt and stream.key too: all four are made again",
        )
    from nexus_ops.certificates import issue_certificate, make_authority

    made = []
    if not authority:
        name = f"Nexus Ops {environment.name} stream CA"
        made = _write_pair(folder, "stream_ca", make_authority(name, path_length=0))
    try:
        certificate, key = ((folder / f"stream_ca.{ending}").read_text(encoding="utf-8") for ending in ("crt", "key"))
        issued = issue_certificate(certificate, key, STREAM_NAME)
    except ValueError:
        raise UsageError(
            f"{folder / 'stream_ca.key'} cannot sign a new stream.crt: encrypted, or not the key of stream_ca.crt",
            next_step="decrypt it for this run, or restore stream.crt and stream.key",
        ) from None
    return made + _write_pair(folder, "stream", issued)


def _has_pair(folder: Path, name: str, otherwise: str) -> bool:
    """Return whether certificate and key `name` are there. Raises UsageError when only one of them is.

    `otherwise` says what happens when both are removed.
    """
    names = (f"{name}.key", f"{name}.crt")
    present = [name for name in names if (folder / name).exists()]
    if len(present) == 1:
        (missing,) = set(names) - set(present)
        raise UsageError(
            f"{folder / missing} is missing, and {present[0]} is there",
            next_step=f"restore it from your backup, or remove both: {otherwise}",
        )
    return bool(present)


def _write_pair(folder: Path, name: str, pair: tuple[str, str]) -> list[str]:
    certificate, key = pair
    _write(folder / f"{name}.key", key)
    _write(folder / f"{name}.crt", certificate)
    return [f"{name}.key", f"{name}.crt"]


def _write(path: Path, text: str) -> None:
    write_atomically(path, text, mode=0o600)


def _keep_out_of_git(environment: Environment) -> None:
    ignore = environment.folder / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, "/secrets/\n/runs/\n/.cache/\n")
    inner = environment.secrets / ".gitignore"
    if not inner.exists():
        write_atomically(inner, "*\n", mode=0o600)
