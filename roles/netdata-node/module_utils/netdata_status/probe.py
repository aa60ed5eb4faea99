"""Asks a parent whether it would take a node's stream: over TLS, with the key and the authority that the node has."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from ansible.module_utils.netdata_status.view import explain

PATIENCE = 4.0
"""Seconds for each step: connecting, the handshake, the answer."""

VERSION = 16376  # the capabilities that Netdata 1.37 announces
ANSWERS = {
    "don't hit me": "accepted",
    "not permitted": "key_refused",
    "not allowed": "address_refused",
    "too busy": "busy",
    "already stream": "accepted",
}


def probe(address: str, port: int, key: str, authority: str, guid: str) -> dict[str, Any]:
    """Return under `result` what a stream to the parent at `address` would meet, and under `detail` its reason.

    `guid` is the parent's own: it knows the key then, but takes us for itself and creates nothing. Without one only
    the connection and the certificate are tried. Neither result nor detail ever holds the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # Netdata does not: the authority signs parents only
    try:
        if not Path(authority).is_file():
            return _result("authority_missing", authority)
        context.load_verify_locations(cafile=authority)
    except OSError as error:  # what is no certificate too: ssl.SSLError
        return _result("authority_unusable", f"{authority}: {_reason(error)}")
    try:
        plain = socket.create_connection((address, port), timeout=PATIENCE)
        with plain, context.wrap_socket(plain) as secure:
            if not guid or not key:
                return _result("reached" if key else "no_key", "")
            return _read(_ask(secure, key, guid))
    except ssl.SSLCertVerificationError as error:
        return _result("certificate_refused", error.verify_message)
    except ssl.SSLError as error:
        return _result("tls_failed", _reason(error))
    except OSError as error:
        return _result("unreachable", _reason(error))


def _ask(secure: ssl.SSLSocket, key: str, guid: str) -> str:
    request = f"STREAM key={key}&hostname=probe&machine_guid={guid}&ver={VERSION} HTTP/1.1"
    secure.sendall(f"{request}\r\nUser-Agent: probe\r\nAccept: */*\r\n\r\n".encode())
    answer = b""
    while len(answer) < 4096:
        part = secure.recv(4096)
        answer += part
        if not part or _read(answer.decode("utf-8", "replace"))["result"] != "odd_answer":
            break
    return answer.decode("utf-8", "replace")


def _read(answer: str) -> dict[str, Any]:
    for words, result in ANSWERS.items():
        if words in answer.lower():
            return _result(result, "")
    return _result("odd_answer", "" if answer else "it closed the connection")


def _result(result: str, detail: str) -> dict[str, Any]:
    return {"result": result, "detail": detail}


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower() or "broken handshake"
    return explain(error)
