"""The load against a real server: its rate, what counts as a failure, and that nothing holds it up."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from nexus_ops.drill.load import Load, Target, targets_of
from nexus_ops.environment import Environment
from nexus_ops.intent.model import Intent, Tls


class Handler(BaseHTTPRequestHandler):
    """`/STATUS` answers with that status, `/silent` not for long; connections and Host headers are counted."""

    seen: ClassVar[Counter[str]] = Counter()
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.seen["connections"] += 1

    def do_GET(self) -> None:
        self.seen[str(self.headers["Host"])] += 1
        if self.path == "/silent":
            time.sleep(3)
        self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/500")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Handler.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def target(port: int) -> Target:
    return Target("web", ("127.0.0.1",), port, tls=False, host="web.example.com", path="/", timeout=0.5)


def run(target: Target, environment: Environment, intent: Intent, *, rate: int = 40, seconds: float = 1.0) -> Load:
    load = Load([target], rate, environment, intent)
    load.start()
    time.sleep(seconds)
    until = time.monotonic() - 0.1
    while not load.settled(until):
        time.sleep(0.02)
    load.stop()
    return load


def test_it_keeps_its_rate_and_never_uses_a_connection_twice(
    target: Target, environment: Environment, intent: Intent
) -> None:
    load = run(target, environment, intent)
    assert {outcome.error for outcome in load.outcomes} == {""}
    assert 32 <= len(load.outcomes) <= 44
    assert Handler.seen["web.example.com"] == pytest.approx(Handler.seen["connections"], abs=2)


@pytest.mark.parametrize(
    ("path", "error"), [("/404", ""), ("/302", ""), ("/503", "HTTP 503"), ("/silent", "time-out"), ("/200", "")]
)
def test_what_counts_as_a_failure(
    target: Target, environment: Environment, intent: Intent, path: str, error: str
) -> None:
    load = run(dataclasses.replace(target, path=path), environment, intent, seconds=0.4)
    assert {outcome.error for outcome in load.outcomes} == {error}


def test_silence_does_not_slow_the_schedule_down(target: Target, environment: Environment, intent: Intent) -> None:
    load = run(dataclasses.replace(target, path="/silent"), environment, intent, seconds=1.0)
    assert len(load.outcomes) >= 30
    assert max(outcome.began - outcome.due for outcome in load.outcomes) < 0.3


def test_nobody_there_is_said_in_the_words_of_the_system(
    target: Target, environment: Environment, intent: Intent
) -> None:
    load = run(dataclasses.replace(target, port=1), environment, intent, seconds=0.3)
    assert {outcome.error for outcome in load.outcomes} == {"connection refused"}


def test_the_front_door_is_the_floating_ip_or_the_load_balancers_in_turn(intent: Intent) -> None:
    services = list(intent.services.values())
    (found,) = targets_of(intent, services, "")
    assert found == Target("web", ("192.0.2.100",), 80, tls=False, host="", path="/healthz", timeout=35.0)
    without = dataclasses.replace(intent, ha=dataclasses.replace(intent.ha, virtual_ip=None, tls=Tls.INTERNAL))
    (found,) = targets_of(without, services, "/x")
    assert found.addresses == ("192.0.2.21", "192.0.2.22")
    assert (found.port, found.tls, found.path) == (443, True, "/x")
    public = dataclasses.replace(intent, ha=dataclasses.replace(intent.ha, tls=Tls.ACME))
    assert not targets_of(public, services, "")[0].tls, "a public authority has no certificate for an address"
