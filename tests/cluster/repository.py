"""A signed apt repository over https, as upstream's is made: for hosts whose system has no Netdata."""

from __future__ import annotations

import functools
import hashlib
import http.server
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Self

from nexus_ops.certificates import issue_certificate, make_authority

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.cluster.cluster import Cluster

NAME = "packages.example.com"
SUITE = "stable/"
NETDATA = ("netdata", "netdata-core", "netdata-plugins-bash", "netdata-web")
"""What Debian 12 calls Netdata; Debian 13 has all else that these depend on."""


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # apt wants TLS to be ended in order

    def log_message(self, *_: object) -> None:
        pass


class Repository:
    """Serves the packages of a Debian 12 host, for the length of a `with` block."""

    def __init__(self, folder: Path, address: str) -> None:
        """Make the key of the packages, and the authority of the server at `address` with its certificate."""
        self.root, self._home, self.address = folder / "root", folder / "gpg", address
        (self.root / SUITE).mkdir(parents=True)
        self._home.mkdir(mode=0o700)
        self._gpg("--quick-generate-key", "Packages <packages@example.com>", "ed25519", "sign", "never")
        keys = self._gpg("--with-colons", "--list-keys").splitlines()
        self.fingerprint = next(line.split(":")[9] for line in keys if line.startswith("fpr"))
        (self.root / "key.asc").write_text(self._gpg("--armor", "--export"))
        self.authority, key = make_authority("packages", path_length=0)
        certificate, certificate_key = issue_certificate(self.authority, key, NAME)
        self._certificate = folder / "server.pem"
        self._certificate.write_text(certificate + certificate_key)
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        assert self._server is not None
        return self._server.server_port

    def variables(self) -> dict[str, object]:
        """Return what group_vars has to say."""
        url = f"https://{NAME}:{self.port}/"
        return {
            "netdata_node_repository": {
                "uri": url,
                "suites": SUITE,
                "key_url": f"{url}key.asc",
                "fingerprints": [self.fingerprint],
            }
        }

    def fill(self, cluster: Cluster, source: str) -> None:
        """Take the packages that apt on `source` offers, list them and sign the list."""
        cluster.run(source, "sh", "-c", f"mkdir -p /srv/packages && cd /srv/packages && apt-get -qq update && "
                    f"apt-get -qq download {' '.join(NETDATA)}")  # fmt: skip
        packages = f"{cluster.container(source)}:/srv/packages/."
        subprocess.run(["podman", "cp", packages, str(self.root / SUITE)], check=True, timeout=60)
        entries = []
        for file in sorted((self.root / SUITE).glob("*.deb")):
            data = file.read_bytes()
            fields = cluster.run(source, "dpkg-deb", "--field", f"/srv/packages/{file.name}").strip()
            digest = hashlib.sha256(data).hexdigest()
            entries.append(f"{fields}\nFilename: {SUITE}{file.name}\nSize: {len(data)}\nSHA256: {digest}\n")
        text = "\n".join(entries).encode()
        (self.root / SUITE / "Packages").write_bytes(text)
        release = self.root / SUITE / "Release"
        release.write_text(
            f"Date: {cluster.run(source, 'date', '-Ru').strip().replace('+0000', 'UTC')}\nSHA256:\n"
            f" {hashlib.sha256(text).hexdigest()} {len(text)} Packages\n"
        )
        self._gpg("--clearsign", "--output", str(release.with_name("InRelease")), str(release))

    def introduce(self, cluster: Cluster, *nodes: str) -> None:
        """Have nodes know its name and trust its authority."""
        for node in nodes:
            trust = "cat >/usr/local/share/ca-certificates/packages.crt && update-ca-certificates >/dev/null"
            hosts = f"echo '{self.address} {NAME}' >>/etc/hosts"
            cluster.run(node, "sh", "-c", f"{hosts} && echo '{self.authority}' | ({trust})")

    def _gpg(self, *arguments: str) -> str:
        command = ["gpg", "--homedir", str(self._home), "--batch", "--yes", "--passphrase", "", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def __enter__(self) -> Self:
        """Start to serve."""
        handler = functools.partial(_Files, directory=str(self.root))
        self._server = http.server.ThreadingHTTPServer((self.address, 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving: the port is closed afterwards."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=False, timeout=20)
