from __future__ import annotations

import datetime
import hashlib
import io
import ipaddress
import json
import ssl
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.service_deploy import render
from ansible.module_utils.service_deploy.model import Service
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from service_sources import Release, SourceError, check, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


def saved(path: Path, **files: Any) -> Path:
    """Write an archive with JSON files; `manifest` stands for manifest.json."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            text = json.dumps(content).encode()
            member = tarfile.TarInfo(f"{name}.json")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return path


def release_of(path: Path, tmp_path: Path) -> Release:
    return pack("web", {"image": "web", "archive": str(path)}, "", tmp_path / "cache")


@pytest.mark.parametrize(
    ("files", "transport"),
    [
        ({"manifest": [{"Config": "x"}]}, "docker-archive"),
        ({"index": {"manifests": [{}]}}, "oci-archive"),
        ({"index": {"manifests": [{}]}, "manifest": [{}]}, "docker-archive"),  # docker writes both
    ],
)
def test_image_archive_is_taken_as_it_lies_there(tmp_path: Path, files: dict[str, Any], transport: str) -> None:
    path = saved(tmp_path / "web.tar", **files)
    release = release_of(path, tmp_path)
    assert (release.image, release.archive) == (transport, str(path))
    assert release.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert release.origin == f"web out of {path}"
    other = path.rename(tmp_path / "other.tar")
    assert release_of(other, tmp_path).release == release.release
    assert release_of(saved(path, manifest=[{"Config": "y"}]), tmp_path).release != release.release


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"manifest": [{}, {}]}, "holds no image: it holds 2 images, not one; make it with podman save"),
        ({"index": {"manifests": []}}, "it holds 0 images, not one"),
        ({"package": {}}, "it has neither a manifest.json nor an index.json"),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, files: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        release_of(saved(tmp_path / "web.tar", **files), tmp_path)


def test_what_is_no_archive_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SourceError, match=r"service web: .*/text holds no image: "):
        release_of(tmp_path / "text", tmp_path)
    with pytest.raises(SourceError, match=r"service web: .*/missing holds no image: No such file"):
        release_of(tmp_path / "missing", tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"setup": "make"}, "an image has no setup"),
        ({"env": {"CONTAINER_HOST": "x"}}, r"podman itself would obey env\.CONTAINER_HOST"),
        ({"env": {"LD_PRELOAD": "x"}}, r"env\.LD_PRELOAD"),
        ({"source": {"image": "web:1.4"}}, "the image web:1.4 names no registry; write it in full"),
        ({"source": {"image": "library/web"}}, "the image library/web names no registry"),
        ({"source": {"image": "r.example.com/web@sha256:abc"}}, "has no digest after the @"),
    ],
)
def test_images_that_cannot_be_run_are_refused(settings: dict[str, Any], words: str) -> None:
    check("web", {"source": {"image": "web", "archive": "x"}, "env": {"GREETING": "hello", "PATH": "/bin"}})
    with pytest.raises(SourceError, match=words):
        check("web", {"source": {"image": "web", "archive": "x"}, **settings})


class Registry(BaseHTTPRequestHandler):
    """One image, team/web:1.4, for those who got a token with their login."""

    def do_GET(self) -> None:
        own = f"https://{self.headers['Host']}"
        if self.path == "/token?service=here&scope=pull":
            allowed = self.headers["Authorization"] == "Basic bWU6c2VjcmV0"
            self._send(200 if allowed else 403, b'{"token": "letmein"}')
        elif self.headers["Authorization"] != "Bearer letmein":
            self._send(401, b"", f'Bearer realm="{own}/token",service="here",scope="pull"')
        else:
            self._send(200 if self.path == "/v2/team/web/manifests/1.4" else 404, MANIFEST)

    def _send(self, status: int, body: bytes, challenge: str = "") -> None:
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def write_certificate(path: Path) -> None:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    begin = datetime.datetime.now(datetime.UTC)
    own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(hours=1))
        .add_extension(own, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem) + private)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    write_certificate(tmp_path / "own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": "bWU6c2VjcmV0"}}}))
        yield host
        server.shutdown()


def test_tag_becomes_the_digest_that_the_registry_has(registry: str, tmp_path: Path) -> None:
    release = pack("web", {"image": f"{registry}/team/web:1.4"}, "", tmp_path)
    assert release.image == release.origin == f"{registry}/team/web@{DIGEST}"
    assert release.archive == ""
    same = pack("web", {"image": f"elsewhere.example.com/web@{DIGEST}"}, "", tmp_path)  # nobody is asked
    assert same.release == release.release


def test_registry_that_says_no(registry: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"cannot ask the registry {registry} what {registry}/web is: it answers 404"):
        pack("web", {"image": f"{registry}/web"}, "", tmp_path)
    (tmp_path / "auth.json").write_text("{}")
    with pytest.raises(SourceError, match="it answers 403 Forbidden; see that the controller reaches it"):
        pack("web", {"image": f"{registry}/team/web:1.4"}, "", tmp_path)
    with pytest.raises(SourceError, match="Connection refused"):
        pack("web", {"image": "127.0.0.1:1/web"}, "", tmp_path)


def unit_of(**more: Any) -> str:
    wanted = {"name": "web", "port": 8080, "image": "docker-archive", "drain_timeout": "1500ms", **more}
    text: str = render.unit_text(Service.of(wanted, {"GREETING": "secret"}, Path("/opt/nexus")))
    return text


def test_container_has_no_rights_and_no_values_in_its_arguments() -> None:
    text = unit_of()
    for word in (
        "--cap-drop=all",
        "no-new-privileges",
        "--read-only",
        "--network=host",
        "--env=GREETING",
        "--env=PORT",
    ):
        assert f" {word}" in text or word in text
    assert "secret" not in text
    assert "--cap-add" not in text
    assert "--entrypoint" not in text
    assert "--time 2 nexus-web" in text
    assert "TimeoutStopSec=12s" in text
    assert "--cap-add=NET_BIND_SERVICE" in unit_of(port=80)


def test_command_is_run_by_the_images_shell() -> None:
    assert "--entrypoint=/bin/sh" in unit_of(command="serve $PORT")
    assert "-c 'exec serve $$PORT' >/dev/null" in unit_of(command="serve $PORT")
    assert "-c 'a && b' >/dev/null" in unit_of(command="a && b")
