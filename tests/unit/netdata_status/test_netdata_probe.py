"""A stream that is tried, against real TLS servers with certificates of their own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible.module_utils.netdata_status import probe

KEY = "11111111-2222-3333-4444-555555555555"
GUID = "99999999-2222-3333-4444-555555555555"

Start = Callable[..., int]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two authorities, of which the first has signed the certificate of a parent."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]
        openssl("req", "-x509", *key, "-out", f"{name}.crt", "-subj", f"/CN={name}", "-days", "1")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "parent.key"]
    openssl("req", *key, "-out", "parent.csr", "-subj", "/CN=parent")
    openssl(
        "x509", "-req", "-in", "parent.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "parent.crt", "-days", "1"
    )
    return folder


@pytest.fixture
def parent(certificate: Path) -> Iterator[Start]:
    """Start servers that answer streams by key, and return the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "parent.crt", certificate / "parent.key")
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, answer: str | None) -> None:
        try:
            with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as secure:
                request = secure.recv(4096).decode()
                good = request.startswith(f"STREAM key={KEY}&") and f"&machine_guid={GUID}&" in request
                told = "Don't hit me baby, you are trying to stream my localhost back"
                text = (told if good else "You are not permitted to access this.") if answer is None else answer
                secure.sendall(text.encode())
        except OSError:
            pass

    def start(answer: str | None = None) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.close()


def ask(port: int, authority: Path, key: str = KEY, guid: str = GUID) -> dict[str, str]:
    found: dict[str, str] = probe.probe("127.0.0.1", port, key, str(authority), guid)
    assert KEY not in str(found)
    return found


def test_a_good_key(parent: Start, certificate: Path) -> None:
    assert ask(parent(), certificate / "ca.crt") == {"result": "accepted", "detail": ""}


def test_a_wrong_key(parent: Start, certificate: Path) -> None:
    assert ask(parent(), certificate / "ca.crt", GUID) == {"result": "key_refused", "detail": ""}


def test_no_key(parent: Start, certificate: Path) -> None:
    assert ask(parent(), certificate / "ca.crt", "")["result"] == "no_key"


def test_without_the_guid_of_the_parent_nothing_is_sent(parent: Start, certificate: Path) -> None:
    assert ask(parent(), certificate / "ca.crt", guid="")["result"] == "reached"


def test_an_authority_that_did_not_sign(parent: Start, certificate: Path) -> None:
    found = ask(parent(), certificate / "other.crt")
    assert found["result"] == "certificate_refused"
    assert "unable to get local issuer certificate" in found["detail"]


def test_no_authority(certificate: Path) -> None:
    assert ask(1, certificate / "none.crt")["result"] == "authority_missing"
    assert ask(1, certificate)["result"] == "authority_missing"


def test_an_authority_that_is_no_certificate(certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nothing\n")
    found = ask(1, tmp_path / "ca.crt")
    assert found["result"] == "authority_unusable"
    assert "no certificate or crl found" in found["detail"]


def test_nobody_listens(certificate: Path) -> None:
    assert ask(1, certificate / "ca.crt") == {"result": "unreachable", "detail": "connection refused"}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("The server is too busy now to accept this request. Try later.", "busy"),
        ("HTTP/1.1 403 Forbidden\r\n\r\nYou are not allowed to access this resource.", "address_refused"),
        ("something else", "odd_answer"),
        ("", "odd_answer"),
    ],
)
def test_other_answers(parent: Start, certificate: Path, answer: str, result: str) -> None:
    assert ask(parent(answer), certificate / "ca.crt")["result"] == result


def test_who_says_nothing_is_given_up(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = ask(silent.getsockname()[1], certificate / "ca.crt")
    assert found == {"result": "unreachable", "detail": "timed out"}
