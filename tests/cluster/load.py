"""An open-loop load client: a fixed number of requests a second, whatever becomes of them. It never retries.

Standard library only, so that it also runs where there is nothing but Python:
`podman exec -i client python3 - ARGUMENTS < load.py`.

A request has failed when its status is not 2xx, when the connection fails or ends early, or when the answer is not
complete within the time-out, which counts from the moment the request was *scheduled*.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import itertools
import json
import math
import signal
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_RATE = 200  # requests a second, all streams together: with MAX_TIMEOUT this bounds the open connections
MAX_SECONDS = 120.0
MAX_TIMEOUT = 5.0
MAX_BODY = 1 << 20

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EarlyEndError(Exception):
    """The connection ended before the answer was complete, or what came is not HTTP/1."""


@dataclass(frozen=True)
class Stream:
    """One kind of request, `rate` of them a second. A POST carries its id as body; `keyed`: also as Idempotency-Key."""

    name: str
    method: str
    path: str
    rate: float
    keyed: bool = False

    @classmethod
    def parse(cls, text: str) -> Stream:
        """Return the stream that `NAME:METHOD:PATH:RATE[:key]` describes; raises ValueError for other text."""
        name, method, path, rate, *flags = text.split(":")
        if method not in {"GET", "POST"} or not path.startswith("/") or flags not in ([], ["key"]):
            raise ValueError(f"{text!r} is not NAME:GET|POST:/PATH:RATE[:key]")
        return cls(name, method, path, float(rate), bool(flags))


@dataclass
class Outcome:
    """What became of one request; it succeeded when there is no `error`.

    `scheduled` is in seconds since the start; `latency_ms` counts from there.
    """

    stream: str
    id: str
    scheduled: float
    latency_ms: float = 0.0
    late_ms: float = 0.0  # how much later than scheduled this client got to it
    status: int | None = None
    worker: str | None = None
    error: str | None = None

    @property
    def finished(self) -> float:
        """Return when the answer was complete, in seconds since the start."""
        return self.scheduled + self.latency_ms / 1000


@dataclass(frozen=True)
class Summary:
    """Counts and times (ms) of some requests.

    `outage_ms`: the longest span between two successes, by scheduled time, that has a failure in it (up to the last
    request when no success follows). `silence_ms`: the longest span in which no answer was completed. `p50_ms` and
    `p99_ms` are of the successful ones; 0 when there are none. `late_ms`: the most this client was behind its schedule.
    """

    sent: int
    failed: int
    outage_ms: float
    silence_ms: float
    p50_ms: float
    p99_ms: float
    late_ms: float


@dataclass(frozen=True)
class Target:
    """Where requests go: an address, never a name, with the `Host` header to send."""

    address: str
    port: int
    host: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for an address neither private nor loopback: nobody else's machine is to be loaded."""
        address = ipaddress.ip_address(self.address)
        if not (address.is_private or address.is_loopback) or address.is_unspecified:
            raise ValueError(f"{self.address} is neither a private nor a loopback address")

    @property
    def host_header(self) -> str:
        """Return the value of the `Host` header."""
        return self.host or (f"[{self.address}]" if ":" in self.address else self.address)


@dataclass
class Load:
    """A load to run: `streams` for `seconds` against `target`."""

    target: Target
    streams: Sequence[Stream]
    seconds: float
    timeout: float = MAX_TIMEOUT
    keep_alive: bool = False
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _stopped: bool = field(default=False, repr=False)
    _idle: list[Connection] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError when the load is beyond this tool's bounds."""
        if not 0 < self.seconds <= MAX_SECONDS or not 0 < self.timeout <= MAX_TIMEOUT:
            raise ValueError(f"at most {MAX_SECONDS:g} s of load, and {MAX_TIMEOUT:g} s for an answer")
        if not 0 < sum(stream.rate for stream in self.streams) <= MAX_RATE or any(s.rate <= 0 for s in self.streams):
            raise ValueError(f"at most {MAX_RATE} requests a second in all, and more than 0 in each stream")

    def schedule(self) -> list[tuple[float, Stream, str]]:
        """Return when (seconds since the start) which request is due, with its id, in that order."""
        due = [
            (number / stream.rate, stream, f"{self.prefix}-{stream.name}-{number}")
            for stream in self.streams
            for number in range(math.ceil(self.seconds * stream.rate))
        ]
        return sorted(due, key=lambda entry: entry[0])

    async def run(self) -> list[Outcome]:
        """Return what became of each request, in the order of the schedule, once all have ended. SIGTERM is `stop`."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        start = asyncio.get_running_loop().time()
        tasks = []
        for scheduled, stream, request_id in self.schedule():
            delay = start + scheduled - asyncio.get_running_loop().time()
            if delay > 0:
                await asyncio.sleep(delay)
            if self._stopped:
                break
            tasks.append(asyncio.create_task(self._request(start, stream, Outcome(stream.name, request_id, scheduled))))
        outcomes = await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()
        return list(outcomes)

    def stop(self) -> None:
        """Schedule no more requests: `run` returns once those under way have ended."""
        self._stopped = True

    async def _request(self, start: float, stream: Stream, outcome: Outcome) -> Outcome:
        loop = asyncio.get_running_loop()
        due = start + outcome.scheduled
        outcome.late_ms = round((loop.time() - due) * 1000, 1)
        try:
            async with asyncio.timeout_at(due + self.timeout):
                await self._exchange(stream, outcome)
            if outcome.status is not None and not 200 <= outcome.status < 300:
                outcome.error = f"status {outcome.status}"
        except TimeoutError:
            outcome.error = "time-out"
        except (OSError, EarlyEndError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            outcome.error = f"{type(error).__name__}: {error}"
        outcome.latency_ms = round((loop.time() - due) * 1000, 1)
        return outcome

    async def _exchange(self, stream: Stream, outcome: Outcome) -> None:
        reader, writer = await self._connect()
        reusable = False
        try:
            writer.write(self._render(stream, outcome.id))
            await writer.drain()
            outcome.status, headers = await _read_head(reader)
            body = await _read_body(reader, headers)
            outcome.worker = _worker_of(body)
            reusable = self.keep_alive and headers.get("connection", "").lower() != "close"
        finally:
            if reusable:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def _connect(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.target.address, self.target.port)

    def _render(self, stream: Stream, request_id: str) -> bytes:
        body = json.dumps({"id": request_id}).encode() if stream.method == "POST" else b""
        lines = [
            f"{stream.method} {stream.path} HTTP/1.1",
            f"Host: {self.target.host_header}",
            f"Connection: {'keep-alive' if self.keep_alive else 'close'}",
        ]
        if stream.keyed:
            lines.append(f"Idempotency-Key: {request_id}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise EarlyEndError(f"not an HTTP/1 answer: {status_line[:60]!r}")
    fields = (line.partition(":") for line in lines)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in fields}


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        chunks = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return b"".join(chunks)
    if "content-length" in headers:
        length = int(headers["content-length"])
        if length > MAX_BODY:
            raise ValueError(f"an answer of {length} bytes is longer than this client reads")
        return await reader.readexactly(length)
    raise EarlyEndError("an answer without a length: its end cannot be told from a lost connection")


def _worker_of(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document.get("host") if isinstance(document, dict) else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of `values`, 0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else 0.0


def longest_outage(outcomes: Iterable[Outcome]) -> float:
    """Return in ms the longest span between successes, by scheduled time, with at least one failure in it."""
    longest, last_good, failing = 0.0, None, False
    scheduled = 0.0
    for outcome in sorted(outcomes, key=lambda outcome: outcome.scheduled):
        scheduled = outcome.scheduled
        if last_good is None:
            last_good = scheduled  # nothing was answered before: count from the first request
        if outcome.error is not None:
            failing = True
            continue
        if failing:
            longest = max(longest, scheduled - last_good)
        last_good, failing = scheduled, False
    if failing and last_good is not None:
        longest = max(longest, scheduled - last_good)
    return round(longest * 1000, 1)


def longest_silence(outcomes: Sequence[Outcome]) -> float:
    """Return in ms the longest span between the first and the last request in which no good answer was completed."""
    if not outcomes:
        return 0.0
    begin = min(outcome.scheduled for outcome in outcomes)
    end = max(outcome.scheduled for outcome in outcomes)
    moments = sorted(outcome.finished for outcome in outcomes if outcome.error is None and outcome.finished < end)
    edges = [begin, *moments, end]
    return round(max(later - earlier for earlier, later in itertools.pairwise(edges)) * 1000, 1)


def summarize(outcomes: Sequence[Outcome]) -> Summary:
    """Return the counts and times of `outcomes`, which may be in any order."""
    latencies = [outcome.latency_ms for outcome in outcomes if outcome.error is None]
    return Summary(
        sent=len(outcomes),
        failed=sum(outcome.error is not None for outcome in outcomes),
        outage_ms=longest_outage(outcomes),
        silence_ms=longest_silence(outcomes),
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        late_ms=max((outcome.late_ms for outcome in outcomes), default=0.0),
    )


def run(load: Load) -> dict[str, Any]:
    """Run `load` and return the document that this program prints.

    Its keys: `started` (epoch seconds), `summary` of all, `streams` (summaries by name) and `requests`.
    """
    started = time.time()
    outcomes = asyncio.run(load.run())
    streams = {s.name: summarize([o for o in outcomes if o.stream == s.name]) for s in load.streams}
    return {
        "started": started,
        "summary": asdict(summarize(outcomes)),
        "streams": {name: asdict(summary) for name, summary in streams.items()},
        "requests": [asdict(outcome) for outcome in outcomes],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load that the arguments describe and print its document; returns 2 when they describe none."""
    parser = argparse.ArgumentParser(description="Open-loop load: never retries, never waits for an answer.")
    parser.add_argument("address", help="a private or loopback address")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--host", default="", help="the Host header (default: the address)")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--timeout", type=float, default=MAX_TIMEOUT, help="seconds, from the scheduled start")
    parser.add_argument("--keep-alive", action="store_true", help="reuse connections (default: a new one each)")
    parser.add_argument(
        "--stream", action="append", required=True, type=Stream.parse, metavar="NAME:METHOD:PATH:RATE[:key]"
    )
    given = parser.parse_args(arguments)
    try:
        target = Target(given.address, given.port, given.host)
        load = Load(target, given.stream, given.seconds, given.timeout, given.keep_alive)
    except ValueError as error:
        parser.error(str(error))
    sys.stderr.write("load started\n")
    sys.stderr.flush()
    json.dump(run(load), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
