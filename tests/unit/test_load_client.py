"""The load client of the cluster tests must be able to fail: it is what our availability figures rest on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.load import Load, Outcome, Stream, Target, longest_outage, longest_silence, percentile, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(__file__).parent.parent / "cluster/app/server.py"
LOAD = Path(__file__).parent.parent / "cluster/load.py"
GET = Stream("get", "GET", "/", 50)


def answer(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


GOOD = answer(b'{"host": "w1"}')


class LoopbackServer:
    """Answers the nth request with what `reply(n)` says: bytes, or None to stay silent; then closes unless `keep`."""

    def __init__(self, reply: Callable[[int], bytes | None], *, keep: bool = False) -> None:
        self.reply, self.keep = reply, keep
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.read(4096):
            reply = self.reply(len(self.requests))
            self.requests.append(head)
            if reply is None:
                await reader.read()  # until the client gives up
                break
            writer.write(reply)
            if not self.keep:
                break
        writer.close()

    def under(
        self, *streams: Stream, seconds: float = 0.4, timeout: float = 1.0, keep_alive: bool = False
    ) -> list[Outcome]:
        async def both() -> list[Outcome]:
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            outcomes = await Load(Target("127.0.0.1", port), streams, seconds, timeout, keep_alive).run()
            server.close()
            return outcomes

        return asyncio.run(both())


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def test_a_good_server_fails_nothing_and_each_request_has_a_connection_of_its_own() -> None:
    server = LoopbackServer(lambda n: GOOD)
    outcomes = server.under(GET)
    assert [outcome.error for outcome in outcomes] == [None] * 20
    assert {outcome.worker for outcome in outcomes} == {"w1"}
    assert server.connections == 20
    assert all(b"Connection: close" in request for request in server.requests)


def test_keep_alive_reuses_connections() -> None:
    server = LoopbackServer(lambda n: GOOD, keep=True)
    outcomes = server.under(GET, keep_alive=True)
    assert [outcome.error for outcome in outcomes] == [None] * 20
    assert server.connections < 20


def test_a_chunked_answer_is_read_to_its_end() -> None:
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"host":\r\n6\r\n "w2"}\r\n0\r\n\r\n'
    assert {outcome.worker for outcome in LoopbackServer(lambda n: chunked).under(GET)} == {"w2"}
    cut = LoopbackServer(lambda n: chunked[:-20]).under(GET)
    assert all(outcome.error is not None for outcome in cut)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"", "IncompleteReadError"),
        (answer(b"{}", length=100), "IncompleteReadError"),
        (b"HTTP/1.1 200 OK\r\nContent-", "IncompleteReadError"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "EarlyEndError"),
        (b"garbage\r\n\r\n", "EarlyEndError"),
        (answer(b"", status="502 Bad Gateway"), "status 502"),
        (answer(b"", status="404 Not Found"), "status 404"),
        (answer(b"", status="302 Found"), "status 302"),
        (None, "time-out"),
    ],
)
def test_every_kind_of_bad_answer_counts_as_failed(bad: bytes | None, error: str) -> None:
    outcomes = LoopbackServer(lambda n: bad if n % 5 == 0 else GOOD).under(GET, timeout=0.3)
    failures = [outcome.error or "" for outcome in outcomes if outcome.error]
    assert len(failures) == 4
    assert all(failure.startswith(error) for failure in failures)


def test_a_closed_port_fails_every_request() -> None:
    outcomes = asyncio.run(Load(Target("127.0.0.1", free_port()), [GET], 0.2).run())
    assert [outcome.error is not None for outcome in outcomes] == [True] * 10
    assert "ConnectionRefusedError" in str(outcomes[0].error)


def test_a_silent_server_neither_delays_the_schedule_nor_gets_more_time_than_the_time_out() -> None:
    outcomes = LoopbackServer(lambda n: None).under(GET, timeout=0.3)
    assert len(outcomes) == 20
    assert max(outcome.late_ms for outcome in outcomes) < 250
    assert all(290 <= outcome.latency_ms <= 600 for outcome in outcomes)


def test_nothing_is_sent_twice_and_posts_carry_unique_ids_and_keys() -> None:
    server = LoopbackServer(lambda n: b"")
    outcomes = server.under(Stream("plain", "POST", "/", 25), Stream("keyed", "POST", "/", 25, keyed=True))
    assert len(server.requests) == len(outcomes) == 20
    bodies = [json.loads(request.split(b"\r\n\r\n")[1])["id"] for request in server.requests]
    assert sorted(bodies) == sorted({outcome.id for outcome in outcomes})
    keys = Counter(b"Idempotency-Key: " in request for request in server.requests)
    assert keys == {True: 10, False: 10}


def test_outage_is_the_span_between_successes_around_failures() -> None:
    def at(moments: str) -> list[Outcome]:
        return [Outcome("s", str(n), n / 10, error=None if c == "." else "x") for n, c in enumerate(moments)]

    assert longest_outage([]) == 0
    assert longest_outage(at(".....")) == 0
    assert longest_outage(at("..x..")) == 200
    assert longest_outage(at("..x.xx..")) == 300
    assert longest_outage(at("xx..")) == 200
    assert longest_outage(at("..xxx")) == 300
    assert longest_outage(list(reversed(at("..xx..x.")))) == 300


def test_silence_is_the_longest_span_without_a_completed_answer() -> None:
    outcomes = [Outcome("s", str(n), n / 10, latency_ms=10) for n in range(11)]
    assert longest_silence(outcomes) == 100
    for held in outcomes[4:9]:  # all answered together, late, none failed
        held.latency_ms = 1000 - held.scheduled * 1000 - 50
    assert longest_silence(outcomes) == 600
    for outcome in outcomes:
        outcome.error = "x"
    assert longest_silence(outcomes) == 1000
    assert longest_silence([]) == 0


def test_percentiles_are_of_the_successful_requests() -> None:
    assert [percentile([1, 2, 3, 4], percent) for percent in (1, 50, 75, 99)] == [1, 2, 3, 4]
    assert percentile([], 99) == 0
    outcomes = [Outcome("s", str(n), n / 100, latency_ms=n) for n in range(1, 101)]
    outcomes.append(Outcome("s", "late", 2, latency_ms=5000, error="time-out"))
    summary = summarize(outcomes)
    assert (summary.sent, summary.failed, summary.p50_ms, summary.p99_ms) == (101, 1, 50, 99)


@pytest.mark.parametrize("address", ["8.8.8.8", "0.0.0.0", "2606:4700::1111", "example.com"])
def test_other_peoples_machines_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"private|appear"):
        Target(address, 80)


@pytest.mark.parametrize("text", ["a:GET:/", "a:PUT:/:1", "a:GET:x:1", "a:GET:/:1:often", "a:GET:/:many"])
def test_a_stream_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|convert|not enough"):
        Stream.parse(text)


def test_loads_without_bounds_are_refused() -> None:
    target = Target("127.0.0.1", 1)
    for streams, seconds, timeout in (([GET], 1000, 1), ([GET], 1, 60), ([GET] * 5, 1, 1), ([], 1, 1)):
        with pytest.raises(ValueError, match="at most"):
            Load(target, streams, seconds, timeout)


def test_a_stopped_load_ends_early_and_reports_what_it_sent() -> None:
    server = LoopbackServer(lambda n: GOOD)

    async def stopped_after(seconds: float) -> list[Outcome]:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        load = Load(Target("127.0.0.1", listener.sockets[0].getsockname()[1]), [GET], 30)
        asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)
        outcomes = await load.run()
        listener.close()
        return outcomes

    outcomes = asyncio.run(stopped_after(0.3))
    assert 10 <= len(outcomes) <= 20
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, SERVER], env={**os.environ, "PORT": str(port), "STATE_DIRECTORY": str(tmp_path)}, cwd=tmp_path
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline, "the service under test does not listen after 10 s"
            time.sleep(0.05)
    yield process, port
    process.kill()
    process.wait()


def test_the_service_under_test_records_what_it_answers_and_finishes_on_sigterm(
    service: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, port = service
    streams = ["--stream", "get:GET:/:20", "--stream", "post:POST:/?ms=200:20", "--stream", "keyed:POST:/:10:key"]
    client = subprocess.Popen(
        [sys.executable, LOAD, "127.0.0.1", "--port", str(port), "--seconds", "1", *streams], stdout=subprocess.PIPE
    )
    time.sleep(0.6)  # in the middle of the load, requests in flight
    process.send_signal(signal.SIGTERM)
    document = json.loads(client.communicate(timeout=20)[0])
    assert process.wait(10) == 0
    answered = {r["id"] for r in document["requests"] if r["error"] is None and r["stream"] != "get"}
    entries = [json.loads(line) for line in (tmp_path / "posts.jsonl").read_text().splitlines()]
    recorded = Counter(entry["id"] for entry in entries)
    assert answered
    assert answered == set(recorded), "every accepted request is answered, and recorded once"
    assert set(recorded.values()) == {1}
    assert {entry["keyed"] for entry in entries} == {True, False}
    assert 0 < document["summary"]["failed"] < document["summary"]["sent"]
    assert "Refused" in document["requests"][-1]["error"]


def test_the_health_page_can_be_made_to_fail(service: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    health = Stream("health", "GET", "/healthz", 10)

    def errors() -> set[str | None]:
        outcomes = asyncio.run(Load(Target("127.0.0.1", service[1]), [health], 0.2).run())
        return {outcome.error for outcome in outcomes}

    assert errors() == {None}
    (tmp_path / "unhealthy").write_text("503")
    assert errors() == {"status 503"}
