"""The dashboard's address that answers, asked from real HTTP servers."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nexus_ops import dashboard
from nexus_ops.dashboard import Candidate, choose, is_own_address, list_candidates, try_page
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from nexus_ops.secrets import ensure_secrets
from tests.unit.conftest import Called

INTENT = """\
cluster: test
ssh: {user: ops, private_key_file: key file}
nodes:
  mgr1: {address: 192.0.2.11, roles: [manager]}
  mgr2: {address: "2001:db8::12", roles: [manager], ssh: {port: 2222, user: root}}
  lb1: {address: 192.0.2.21, roles: [lb]}
  lb2: {address: 192.0.2.22, roles: [lb]}
ha: {TLS, virtual_ip: 192.0.2.100/24}
monitoring: {dashboard: {domain: Status.example.com, user: jo}}
"""

Serve = Callable[..., str]


class Site(ThreadingHTTPServer):
    """The dashboard of some cluster: pages by path."""

    pages: dict[str, str | int]
    password: str
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    """Serves the pages to those who know the password."""

    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        wanted = "Basic " + base64.b64encode(f"jo:{self.server.password}".encode()).decode()
        page = self.server.pages.get(self.path, 404)
        if self.server.password and self.headers.get("Authorization") != wanted:
            page = 401
        if not self.server.password and "Authorization" in self.headers:
            page = 500
        status, text = (page, "") if isinstance(page, int) else (200, page)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://example.com/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


PAGES: dict[str, str | int] = {
    "/nexus/": "<html>",
    "/nexus/nexus.json": json.dumps({"cluster": "test", "api": "netdata/"}),
    "/nexus/netdata/api/v1/info": "{}",
}


@pytest.fixture
def serve(environment: Environment) -> Iterator[Serve]:
    """Serve a dashboard on this machine and return its URL."""
    sites: list[Site] = []

    def start(
        *,
        password: str | None = None,
        context: ssl.SSLContext | None = None,
        pages: dict[str, str | int] | None = None,
    ) -> str:
        site = Site(("127.0.0.1", 0), Handler)
        if context is not None:
            site.socket = context.wrap_socket(site.socket, server_side=True)
        site.pages = PAGES | (pages or {})
        site.password = dashboard.read_password(environment) if password is None else password
        site.asked = []
        sites.append(site)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        return f"http{'s' if context else ''}://127.0.0.1:{site.server_port}/nexus/"

    yield start
    for site in sites:
        site.shutdown()
        site.server_close()


def make(environment: Environment, tls: str = '"off"') -> Intent:
    ensure_secrets(environment)
    (environment.folder / "key file").touch()
    acme = ", acme: {email: ops@example.com}" if tls == "acme" else ""
    return write_intent(environment, INTENT.replace("TLS", f"tls: {tls}{acme}"))


@pytest.fixture
def cluster(environment: Environment) -> Intent:
    return make(environment)


def test_the_order_of_preference(cluster: Intent) -> None:
    candidates = list_candidates(cluster, lambda address: address == "2001:db8::12")
    assert [(each.via, each.node, each.url, each.with_password) for each in candidates] == [
        ("domain", "", "http://status.example.com/nexus/", True),
        ("virtual_ip", "", "http://192.0.2.100/nexus/", True),
        ("lb", "lb1", "http://192.0.2.21/nexus/", True),
        ("lb", "lb2", "http://192.0.2.22/nexus/", True),
        ("parent", "mgr2", "http://127.0.0.1:19999/nexus/", False),
    ]


def test_addresses_of_ipv6_are_bracketed(environment: Environment) -> None:
    (environment.folder / "key file").touch()
    text = INTENT.replace("TLS, virtual_ip: 192.0.2.100/24", 'tls: "off"').replace("192.0.2.22", '"2001:db8::22"')
    candidates = list_candidates(write_intent(environment, text), lambda _: False)
    assert candidates[-1].url == "http://[2001:db8::22]/nexus/"


def test_with_certificates_of_our_own_all_is_encrypted(environment: Environment) -> None:
    candidates = list_candidates(make(environment, "internal"), lambda _: False)
    assert [each.url.partition(":")[0] for each in candidates] == ["https"] * 4


def test_with_public_certificates_only_the_name_can_be_opened(environment: Environment) -> None:
    candidates = list_candidates(make(environment, "acme"), lambda _: False)
    assert [each.url for each in candidates] == ["https://status.example.com/nexus/"]


def test_a_page_that_is_good(environment: Environment, cluster: Intent, serve: Serve) -> None:
    assert try_page(environment, cluster, Candidate("lb", serve())) == ""


def test_the_page_of_a_parent_wants_no_password_and_gets_none(
    environment: Environment, cluster: Intent, serve: Serve
) -> None:
    pages = {"/nexus/nexus.json": json.dumps({"cluster": "test", "api": "../"}), "/api/v1/info": "{}"}
    url = serve(password="", pages=pages)
    assert try_page(environment, cluster, Candidate("parent", url, with_password=False)) == ""


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({"/nexus/": 404}, "HTTP 404: no dashboard is there"),
        ({"/nexus/": 302}, "HTTP 302"),
        ({"/nexus/nexus.json": "no json"}, "another page: it has no description of a cluster"),
        ({"/nexus/nexus.json": "[]"}, "another page: it has no description of a cluster"),
        ({"/nexus/nexus.json": '{"cluster": "other"}'}, "another page: it shows the cluster 'other'"),
        (
            {"/nexus/nexus.json": '{"cluster": "test", "api": "http://example.com/"}'},
            "another page: its data are elsewhere",
        ),
        ({"/nexus/netdata/api/v1/info": 502}, "the page is there, but no parent answers behind it: HTTP 502"),
    ],
)
def test_a_page_that_is_no_good(
    environment: Environment, cluster: Intent, serve: Serve, pages: dict[str, str | int], reason: str
) -> None:
    assert try_page(environment, cluster, Candidate("lb", serve(pages=pages))) == reason


def test_another_password(environment: Environment, cluster: Intent, serve: Serve) -> None:
    url = serve(password="other")
    assert try_page(environment, cluster, Candidate("lb", url)) == "HTTP 401: it refuses the password"


def test_no_proxy_sees_the_password(
    environment: Environment, cluster: Intent, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert try_page(environment, cluster, Candidate("lb", serve())) == ""


def test_nobody_there(environment: Environment, cluster: Intent) -> None:
    assert try_page(environment, cluster, Candidate("lb", "http://127.0.0.1:1/nexus/")) == "connection refused"
    reason = try_page(environment, cluster, Candidate("domain", "http://name.invalid/nexus/"))
    assert reason.startswith("the name is not known")


def test_who_does_not_answer_costs_little(
    environment: Environment, cluster: Intent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/nexus/"
        assert try_page(environment, cluster, Candidate("lb", url)) == "no answer within 0.3 s"


def signed_by(environment: Environment) -> ssl.SSLContext:
    """Return the context of a server whose certificate for 127.0.0.1 the environment's authority has signed."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = x509.load_pem_x509_certificate((environment.secrets / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((environment.secrets / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    chain = environment.folder / "server.pem"
    chain.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def test_our_own_authority_is_verified(environment: Environment, serve: Serve) -> None:
    intent = make(environment, "internal")
    url = serve(context=signed_by(environment))
    assert try_page(environment, intent, Candidate("lb", url)) == ""
    (environment.secrets / "ca.key").unlink()
    (environment.secrets / "ca.crt").unlink()
    ensure_secrets(environment)
    assert try_page(environment, intent, Candidate("lb", url)).startswith("its certificate is not trusted:")


def test_a_foreign_authority_is_not_the_systems(environment: Environment, serve: Serve) -> None:
    intent = make(environment, "acme")
    url = serve(context=signed_by(environment))
    assert try_page(environment, intent, Candidate("domain", url)).startswith("its certificate is not trusted:")


def test_a_missing_password_is_named(environment: Environment, cluster: Intent) -> None:
    (environment.secrets / "dashboard_password").unlink()
    with pytest.raises(UsageError, match="dashboard_password is missing"):
        dashboard.resolve_dashboard(environment, cluster)


def some(*names: str) -> list[Candidate]:
    return [Candidate("lb", f"http://{name}/", name) for name in names]


def test_the_best_one_that_answers_is_chosen() -> None:
    found = choose(some("a", "b", "c"), lambda candidate: "dead" if candidate.node == "a" else "")
    assert found.chosen is not None
    assert found.document() == {
        "ok": True,
        "url": "http://b/",
        "via": "lb",
        "node": "b",
        "tried": [
            {"via": "lb", "node": "a", "url": "http://a/", "ok": False, "reason": "dead"},
            {"via": "lb", "node": "b", "url": "http://b/", "ok": True, "reason": ""},
        ],
    }


def test_all_are_tried_at_once_and_only_the_better_ones_waited_for() -> None:
    started = time.monotonic()

    def attempt(candidate: Candidate) -> str:
        time.sleep({"a": 0.3, "b": 0.3, "c": 0.3, "d": 5}[candidate.node])
        return "" if candidate.node == "c" else "dead"

    found = choose(some("a", "b", "c", "d"), attempt)
    assert found.chosen is not None
    assert found.chosen.node == "c"
    assert time.monotonic() - started < 0.8


def test_a_bug_in_one_attempt_does_not_stop_the_rest() -> None:
    def attempt(candidate: Candidate) -> str:
        raise ValueError("odd")

    found = choose(some("a"), attempt)
    assert found.chosen is None
    assert found.tried[0].reason == "ValueError: odd"
    assert found.document()["url"] is None


def test_no_candidates() -> None:
    assert choose([], lambda _: "").chosen is None


def test_own_addresses() -> None:
    assert is_own_address("localhost")
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.1")
    assert not is_own_address("name.invalid")


def test_no_url(cluster: Intent, call: Callable[..., Called]) -> None:
    called = call("dashboard", "--json")
    assert called.code == 3
    document = called.document
    assert document["ok"] is False
    assert document["url"] is None
    assert {each["via"] for each in document["tried"]} == {"domain", "virtual_ip", "lb"}
    assert all(each["reason"] for each in document["tried"])
    assert "--tunnel" in document["error"]["message"]


@pytest.mark.parametrize("arguments", [["now"], ["--nonsense"], ["--open=yes"]])
def test_wrong_calls(cluster: Intent, call: Callable[..., Called], arguments: list[str]) -> None:
    called = call("dashboard", *arguments)
    assert called.code == 2
    assert called.out == ""
