"""The key of an apt repository: fetched by the node, and taken only when it is one of those that are expected."""

from __future__ import annotations

import base64
import binascii
import hashlib
import urllib.request
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TIMEOUT = 20.0  # seconds
LARGEST = 1 << 20  # bytes
PUBLIC_KEY = 6  # the packet of a primary key (RFC 9580, section 5.5.1.1)
SCHEMES = ("https://", "file://")


def fetch(url: str, fingerprints: Iterable[str]) -> bytes:
    """Return the armored key at `url`. Raises StateError, also for one that is none of `fingerprints`, if given."""
    if not url.startswith(SCHEMES):
        raise StateError(f"{url} is not read; name a key over https")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  https or file, see above
            armored: bytes = answer.read(LARGEST)
    except (OSError, ValueError) as error:
        raise StateError(f"{url} cannot be fetched by this node: {getattr(error, 'reason', error)}") from error
    found = fingerprints_of(armored)
    wanted = {each.replace(" ", "").upper() for each in fingerprints}
    if not found or (wanted and not set(found) <= wanted):
        shown = ", ".join(found) or "no single armored OpenPGP key"
        raise StateError(f"{url} holds {shown}; expected {', '.join(sorted(wanted)) or 'an armored key'}")
    return armored


def fingerprints_of(armored: bytes) -> list[str]:
    """Return the fingerprints of the primary keys in `armored`, upper case (version 4: RFC 9580, section 5.5.4.2).

    None where it cannot be told for all that apt would trust: a second armored block, a key of another version.
    """
    try:
        keys = [body for kind, body in _packets(_binary(armored)) if kind == PUBLIC_KEY]
    except (ValueError, IndexError):
        return []
    if any(body[:1] != b"\x04" for body in keys):
        return []
    return [
        hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()  # noqa: S324  the format's
        for body in keys
    ]


def _binary(armored: bytes) -> bytes:
    """Return what is in the armor: lines of base64 between a header with an empty line and a checksum or the end."""
    _, found, rest = armored.replace(b"\r\n", b"\n").partition(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    _, _, body = rest.partition(b"\n\n")
    lines = body.partition(b"-----END")[0].split(b"\n=")[0]
    if not found or armored.count(b"-----BEGIN") != 1:
        raise ValueError
    try:
        return base64.b64decode(b"".join(lines.split()), validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each packet (RFC 9580, section 4.2). Raises ValueError or IndexError at an early end."""
    at = 0
    while at < len(data):
        first = data[at]
        if first & 0x40:  # the newer format
            kind, length, at = first & 0x3F, data[at + 1], at + 2
            if length >= 255:
                length, at = int.from_bytes(data[at : at + 4], "big"), at + 4
            elif length >= 192:
                length, at = ((length - 192) << 8) + data[at] + 192, at + 1
        else:
            kind, octets = (first >> 2) & 0x0F, 1 << (first & 0x03)
            length, at = int.from_bytes(data[at + 1 : at + 1 + octets], "big"), at + 1 + octets
        if at + length > len(data):
            raise ValueError
        yield kind, data[at : at + length]
        at += length
