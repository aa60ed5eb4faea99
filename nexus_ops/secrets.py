"""The secrets of an environment: generated once, one file each, only where missing, readable by the owner only."""

from __future__ import annotations

import datetime
import secrets
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically

if TYPE_CHECKING:
    from nexus_ops.environment import Environment

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"
CA_LIFETIME = datetime.timedelta(days=3650)

_SINGLE: dict[str, Callable[[], str]] = {
    # GUIDs, because Netdata accepts nothing else as a stream key.
    "stream_api_key": lambda: str(uuid.uuid4()),
    "parent_api_key": lambda: str(uuid.uuid4()),
    "dashboard_password": lambda: secrets.token_urlsafe(18),
}


def ensure_secrets(environment: Environment) -> list[str]:
    """Generate the missing secrets of `environment`; return their names. An existing file is never touched.

    There is none for VRRP: version 3 has no authentication (RFC 5798, section 9), the lbs' firewall names the peers.
    Raises UsageError when half of the certificate authority is missing.
    """
    environment.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    _keep_out_of_git(environment)
    made = []
    for name, generate in _SINGLE.items():
        if not (environment.secrets / name).exists():
            write_atomically(environment.secrets / name, generate() + "\n", mode=0o600)
            made.append(name)
    present = [name for name in (CA_KEY, CA_CERTIFICATE) if (environment.secrets / name).exists()]
    if len(present) == 1:
        (missing,) = {CA_KEY, CA_CERTIFICATE} - set(present)
        raise UsageError(
            f"{environment.secrets / missing} is missing, and {present[0]} is there",
            next_step="restore it from your backup, or remove both: clients then have to trust a new authority",
        )
    if not present:
        certificate, key = _certificate_authority(environment.name)
        write_atomically(environment.secrets / CA_KEY, key, mode=0o600)
        write_atomically(environment.secrets / CA_CERTIFICATE, certificate, mode=0o600)
        made += [CA_KEY, CA_CERTIFICATE]
    return made


def _keep_out_of_git(environment: Environment) -> None:
    ignore = environment.folder / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, "/secrets/\n/runs/\n/.cache/\n")
    inner = environment.secrets / ".gitignore"
    if not inner.exists():
        write_atomically(inner, "*\n", mode=0o600)


def _certificate_authority(name: str) -> tuple[str, str]:
    """Return a self-signed root certificate and its key, both PEM (RFC 5280 constraints, ECDSA P-256)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Nexus Ops {name} root CA")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )
