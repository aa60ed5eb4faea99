"""What is generated, when, and what is refused: a secret that is there is never replaced."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from nexus_ops import certificates
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.secrets import ensure_secrets, read_sudo_password, require_password_hash

NAMES = {
    "ca.crt", "ca.key", "dashboard_password", "dashboard_password.bcrypt", "parent_api_key", "stream.crt", "stream.key",
    "stream_api_key", "stream_ca.crt", "stream_ca.key",
}  # fmt: skip


def contents(environment: Environment) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in environment.secrets.iterdir()}


def certificate(environment: Environment, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((environment.secrets / name).read_bytes())


def is_password_of(environment: Environment, password: bytes) -> bool:
    return bcrypt.checkpw(password, (environment.secrets / "dashboard_password.bcrypt").read_bytes().strip())


def test_all_are_made_once(environment: Environment) -> None:
    assert set(ensure_secrets(environment)) == NAMES
    before = contents(environment)
    assert set(before) == {*NAMES, ".gitignore"}
    assert {path.stat().st_mode & 0o777 for path in environment.secrets.iterdir()} == {0o600}
    assert ensure_secrets(environment) == []
    assert contents(environment) == before


def test_the_parents_certificate_is_what_everybody_checks(environment: Environment) -> None:
    ensure_secrets(environment)
    root, leaf = certificate(environment, "stream_ca.crt"), certificate(environment, "stream.crt")
    leaf.verify_directly_issued_by(root)
    assert leaf.not_valid_after_utc == root.not_valid_after_utc
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["nexus-parent"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert root.subject != certificate(environment, "ca.crt").subject


def test_openssl_trusts_the_parents_certificate(environment: Environment) -> None:
    ensure_secrets(environment)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(environment.secrets / "stream.crt", environment.secrets / "stream.key")
    client = ssl.create_default_context(cafile=str(environment.secrets / "stream_ca.crt"))
    sides = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    asking = client.wrap_bio(sides[0], sides[1], server_hostname="nexus-parent")
    answering = server.wrap_bio(sides[1], sides[0], server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert asking.version() == "TLSv1.3"
    assert asking.getpeercert()


@pytest.mark.parametrize("name", ["ca.key", "stream_ca.crt", "stream_ca.key", "stream.crt", "stream.key"])
def test_half_a_pair_is_never_completed(environment: Environment, name: str) -> None:
    ensure_secrets(environment)
    (environment.secrets / name).unlink()
    before = contents(environment)
    with pytest.raises(UsageError, match=f"{name} is missing"):
        ensure_secrets(environment)
    assert contents(environment) == before


def test_a_lost_certificate_is_made_again_and_a_lost_authority_is_not(environment: Environment) -> None:
    ensure_secrets(environment)
    for name in ("stream.crt", "stream.key"):
        (environment.secrets / name).unlink()
    assert set(ensure_secrets(environment)) == {"stream.crt", "stream.key"}
    certificate(environment, "stream.crt").verify_directly_issued_by(certificate(environment, "stream_ca.crt"))
    for name in ("stream_ca.crt", "stream_ca.key"):
        (environment.secrets / name).unlink()
    with pytest.raises(UsageError, match=r"stream_ca\.crt and its key are missing"):
        ensure_secrets(environment)


@pytest.mark.parametrize("key", ["$ANSIBLE_VAULT;1.1;AES256\n3061\n", None])
def test_an_authority_that_cannot_sign_is_explained(environment: Environment, key: str | None) -> None:
    ensure_secrets(environment)
    for name in ("stream.crt", "stream.key"):
        (environment.secrets / name).unlink()
    other = certificates.make_authority("another", path_length=0)[1]
    (environment.secrets / "stream_ca.key").write_text(other if key is None else key)
    with pytest.raises(UsageError, match=r"stream_ca\.key cannot sign"):
        ensure_secrets(environment)


def test_the_hash_follows_the_password(environment: Environment) -> None:
    ensure_secrets(environment)
    password = environment.secrets / "dashboard_password"
    assert is_password_of(environment, password.read_bytes().strip())
    password.write_text("of my own\n")
    os.utime(password, (0, 0))  # as of a file that was put there from elsewhere
    assert ensure_secrets(environment) == ["dashboard_password.bcrypt"]
    assert is_password_of(environment, b"of my own")
    os.utime(password)
    before = contents(environment)
    assert ensure_secrets(environment) == []
    assert contents(environment) == before, "touched, but the same"


def test_a_hash_that_is_none_is_made_again(environment: Environment) -> None:
    ensure_secrets(environment)
    (environment.secrets / "dashboard_password.bcrypt").write_text("nonsense\n")
    (environment.secrets / "dashboard_password").write_text("secret\n")
    assert ensure_secrets(environment) == ["dashboard_password.bcrypt"]
    assert is_password_of(environment, b"secret")


def test_an_encrypted_password_is_left_alone(environment: Environment) -> None:
    ensure_secrets(environment)
    password = environment.secrets / "dashboard_password"
    password.write_text("$ANSIBLE_VAULT;1.1;AES256\n3061\n")
    before = contents(environment)
    assert ensure_secrets(environment) == []
    assert contents(environment) == before
    require_password_hash(environment)
    (environment.secrets / "dashboard_password.bcrypt").unlink()
    assert ensure_secrets(environment) == []
    with pytest.raises(UsageError, match="is encrypted"):
        require_password_hash(environment)


def test_an_encrypted_hash_of_another_password_is_explained(environment: Environment) -> None:
    ensure_secrets(environment)
    (environment.secrets / "dashboard_password.bcrypt").write_text("$ANSIBLE_VAULT;1.1;AES256\n3061\n")
    (environment.secrets / "dashboard_password").write_text("changed\n")
    with pytest.raises(UsageError, match=r"bcrypt is encrypted, and dashboard_password was changed since"):
        ensure_secrets(environment)


@pytest.mark.parametrize("text", ["", "\n", "x" * 73, "two\nlines\n", "a\0b"])
def test_what_cannot_be_a_password(environment: Environment, text: str) -> None:
    ensure_secrets(environment)
    (environment.secrets / "dashboard_password").write_text(text)
    with pytest.raises(UsageError, match="holds no password") as refused:
        ensure_secrets(environment)
    assert "two" not in refused.value.lines()[0]


def test_the_password_of_sudo_is_the_users_own(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_sudo_password(environment) == ""
    ensure_secrets(environment)
    secret = environment.secrets / "sudo_password"
    secret.write_text("correct horse\n")
    assert read_sudo_password(environment) == "correct horse"
    assert "sudo_password" not in ensure_secrets(environment), "it is never made up"
    key = tmp_path / "vault"
    key.write_text("opens the vault\n")
    vault = Path(sys.executable).with_name("ansible-vault")
    subprocess.run([vault, "encrypt", "--vault-password-file", key, secret], check=True, capture_output=True)
    with pytest.raises(UsageError, match="cannot be decrypted"):
        read_sudo_password(environment)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(key))
    assert read_sudo_password(environment) == "correct horse"
