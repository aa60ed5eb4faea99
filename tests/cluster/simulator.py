"""Nodes that are not there: streams them into a real Netdata parent, by the protocol that children speak.

Standard library only, since it runs on a node of the cluster: the parents accept streams from nowhere else. The key and
the CA's certificate are those of that node's own child, so that no secret is on a command line:

    podman exec -i nexus-NAME-w1 python3 - --nodes 200 < tests/cluster/simulator.py

streams sim-001 to sim-200 to the first parent of /etc/netdata/stream.conf, or to the next one while that is away, until
SIGTERM or the end of --seconds. It prints `streaming N` on stderr once all have been accepted, and one line of JSON on
stdout at the end: `nodes`, `accepted`, `refused`, `lost` (connections), `samples`, and `answers`, what refusals said.

Each node has the charts that the dashboard shows (system.cpu, system.ram, system.load, disk_space._, net.eth0,
system.uptime), every --every seconds. --charts adds as many more, of --dimensions each, to cost what real nodes cost.
--key and --ca-file are for keys and authorities that the parents shall refuse; --parents for somewhere else to stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import signal
import ssl
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STREAM_CONF = Path("/etc/netdata/stream.conf")
VERSION = 4  # of the protocol: with labels of hosts and charts, without compression and replication
ACCEPTED = re.compile(rb"push them over with the version=\d+")
RECONNECT = 5.0  # seconds, as children wait
CONNECT = 30.0  # a parent that 200 nodes come to at once takes its time
CORES, HERTZ = 2, 100
RAM = 4 << 20  # KiB
DISK = 40 << 20  # KiB
MAX_NODES = 500


class RefusedError(Exception):
    """The parent does not want the stream; the text is its answer."""


@dataclass
class Node:
    """One node: what it is called, and counters that move as those of a machine do."""

    name: str
    every: int
    extra_charts: int = 0
    dimensions: int = 4
    _random: random.Random = field(init=False, repr=False)
    _cpu: dict[str, float] = field(init=False, repr=False)
    _net: dict[str, float] = field(init=False, repr=False)
    _last: float = field(init=False, repr=False)
    _began: float = field(init=False, repr=False)
    _rounds: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Start all counters somewhere that belongs to the name."""
        self._random = random.Random(self.name)
        self._began = time.time() - self._random.uniform(1e3, 1e7)
        self._cpu = dict.fromkeys(("user", "system", "iowait", "idle"), 1e6)
        self._net = dict.fromkeys(("received", "sent"), 1e9)
        self._last = time.time() - self.every

    @property
    def guid(self) -> str:
        """Return the machine's id, the same at every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.simulated"))

    def definitions(self) -> str:
        """Return the lines that describe the charts."""
        return "".join(f"{line}\n" for line in self._define())

    def sample(self, now: float) -> str:
        """Return the lines that carry the values at `now`, in epoch seconds."""
        text = "".join(f"{line}\n" for line in self._measure(now))
        self._rounds += 1
        return text

    def _define(self) -> Iterator[str]:
        yield from _chart("system.cpu", "percentage", "cpu", "stacked", 100, self.every)
        for name in self._cpu:
            hidden = "hidden" if name == "idle" else ""
            yield f'DIMENSION "{name}" "{name}" "percentage-of-incremental-row" 1 1 "{hidden}"'
        yield from _chart("system.ram", "MiB", "ram", "stacked", 200, self.every)
        yield from (f'DIMENSION "{name}" "{name}" "absolute" 1 1024 ""' for name in ("free", "used", "cached"))
        yield from _chart("system.load", "load", "load", "line", 100, self.every)
        yield from (f'DIMENSION "{name}" "{name}" "absolute" 1 1000 ""' for name in ("load1", "load5", "load15"))
        yield from _chart("disk_space._", "GiB", "/", "stacked", 2023, self.every, "disk.space")
        for name in ("avail", "used", "reserved_for_root"):
            yield f'DIMENSION "{name}" "{name.replace("_", " ")}" "absolute" 1 {1 << 20} ""'
        yield from _chart("net.eth0", "kilobits/s", "eth0", "area", 7000, self.every, "net.net")
        yield 'DIMENSION "received" "received" "incremental" 8 1000 ""'
        yield 'DIMENSION "sent" "sent" "incremental" -8 1000 ""'
        yield from _chart("system.uptime", "seconds", "uptime", "line", 1000, self.every)
        yield 'DIMENSION "uptime" "uptime" "absolute" 1 1000 ""'
        for number in range(self.extra_charts):
            yield from _chart(f"more.chart{number}", "things/s", "more", "line", 9000, self.every)
            for index in range(self.dimensions):
                yield f'DIMENSION "d{index}" "d{index}" "incremental" 1 1 ""'

    def _measure(self, now: float) -> Iterator[str]:
        elapsed, self._last = now - self._last, now
        dice = self._random
        wave = math.sin(now / 17 + dice.random() / 3 + len(self.name) + int(self.guid[:4], 16))
        busy = min(0.98, max(0.01, 0.35 + 0.3 * wave + dice.gauss(0, 0.05)))
        jiffies = elapsed * HERTZ * CORES
        for name, part in (("user", 0.7 * busy), ("system", 0.25 * busy), ("iowait", 0.05 * busy), ("idle", 1 - busy)):
            self._cpu[name] += jiffies * part
        self._net["received"] += elapsed * 4e5 * busy
        self._net["sent"] += elapsed * 9e5 * busy * dice.uniform(0.8, 1.2)
        used, cached = int(RAM * (0.3 + 0.3 * busy)), RAM // 5
        full = int(DISK * (0.2 + int(self.guid[4:6], 16) / 500))
        load = {f"load{minutes}": int(1000 * CORES * busy) for minutes in (1, 5, 15)}
        yield from _values("system.cpu", self._cpu)
        yield from _values("system.ram", {"free": RAM - used - cached, "used": used, "cached": cached})
        yield from _values("system.load", load)
        yield from _values("disk_space._", {"avail": DISK - full, "used": full, "reserved_for_root": DISK // 20})
        yield from _values("net.eth0", self._net)
        yield from _values("system.uptime", {"uptime": (now - self._began) * 1000})
        for number in range(self.extra_charts):
            base = self._rounds * (100 + number)
            yield from _values(f"more.chart{number}", {f"d{index}": base + index for index in range(self.dimensions)})


def _chart(name: str, unit: str, family: str, kind: str, priority: int, every: int, context: str = "") -> Iterator[str]:
    about = f'"{name}" "{unit}" "{family}" "{context or name}" "{kind}" {priority} {every}'
    yield f'CHART "{name}" "" {about} "" "simulator" "simulator"'


def _values(chart: str, values: dict[str, Any]) -> Iterator[str]:
    yield f'BEGIN "{chart}"'
    yield from (f'SET "{name}" = {int(value)}' for name, value in values.items())
    yield "END"


@dataclass
class Simulation:
    """Nodes that stream to `parents` (host and port each), the first one that accepts them."""

    nodes: Sequence[Node]
    parents: Sequence[tuple[str, int]]
    key: str
    context: ssl.SSLContext | None
    hops: int = 1
    accepted: int = 0
    refused: int = 0
    lost: int = 0
    samples: int = 0
    streaming: int = 0
    answers: set[str] = field(default_factory=set)
    _said: bool = False

    async def run(self, seconds: float) -> dict[str, Any]:
        """Stream for `seconds` or until SIGTERM, and return the document that this program prints."""
        tasks = [asyncio.create_task(self._keep(node, index)) for index, node in enumerate(self.nodes)]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return {
            "nodes": len(self.nodes),
            "accepted": self.accepted,
            "refused": self.refused,
            "lost": self.lost,
            "samples": self.samples,
            "answers": sorted(self.answers),
        }

    async def _keep(self, node: Node, index: int) -> None:
        """Stream `node`, and connect again, to the next parent, whenever the connection is lost."""
        await asyncio.sleep(index / len(self.nodes) * max(1.0, len(self.nodes) / 40))  # not all at once
        attempt = 0
        while True:
            try:
                await self._stream(node, self.parents[attempt % len(self.parents)])
            except RefusedError as error:
                self.refused += 1
                self.answers.add(str(error))
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.lost += 1
                self.answers.add(f"{type(error).__name__}: {error}")
            attempt += 1
            await asyncio.sleep(RECONNECT)

    async def _stream(self, node: Node, parent: tuple[str, int]) -> None:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(*parent, ssl=self.context)
        try:
            async with asyncio.timeout(CONNECT):
                await self._shake_hands(node, reader, writer)
            self.accepted += 1
            self._count(1)
            try:
                await self._send(node, reader, writer)
            finally:
                self._count(-1)
        finally:
            writer.close()

    async def _shake_hands(self, node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        about = {
            "key": self.key,
            "hostname": node.name,
            "registry_hostname": node.name,
            "machine_guid": node.guid,
            "update_every": node.every,
            "os": "linux",
            "timezone": "UTC",
            "abbrev_timezone": "UTC",
            "utc_offset": 0,
            "hops": self.hops,
            "tags": "",
            "ver": VERSION,
            "NETDATA_PROTOCOL_VERSION": "1.1",
            # A parent that passes the node on crashes without them (1.37.1).
            "NETDATA_SYSTEM_OS_NAME": "Simulated",
            "NETDATA_SYSTEM_OS_ID": "simulated",
            "NETDATA_SYSTEM_OS_VERSION": "1",
            "NETDATA_SYSTEM_KERNEL_NAME": "Linux",
            "NETDATA_SYSTEM_KERNEL_VERSION": "1",
        }
        query = "&".join(f"{name}={value}" for name, value in about.items())
        writer.write(f"STREAM {query} HTTP/1.1\r\nUser-Agent: simulator/1\r\nAccept: */*\r\n\r\n".encode())
        await writer.drain()
        answer = b""
        while not ACCEPTED.search(answer):
            part = await reader.read(4096)
            if not part:
                raise RefusedError(answer.decode(errors="replace").strip() or "the connection was closed")
            answer += part

    async def _send(self, node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send values until the parent closes the connection."""
        ended = asyncio.create_task(_read_to_the_end(reader))
        try:
            writer.write(node.definitions().encode())
            while not ended.done():
                writer.write(node.sample(time.time()).encode())
                await writer.drain()
                self.samples += 1
                await asyncio.wait([ended], timeout=node.every)
            raise ConnectionResetError("the parent closed the connection")
        finally:
            ended.cancel()

    def _count(self, change: int) -> None:
        self.streaming += change
        if self.streaming == len(self.nodes) and not self._said:
            self._said = True
            sys.stderr.write(f"streaming {self.streaming}\n")
            sys.stderr.flush()


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


@dataclass(frozen=True)
class Child:
    """What a child's stream.conf says: its key, its authority's certificate, and its parents, each once."""

    key: str
    ca_file: str
    parents: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls, path: Path) -> Child:
        """Return what the first section of the file at `path` says."""
        settings: dict[str, str] = {}
        for line in path.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not name.lstrip().startswith("#"):
                settings.setdefault(name.strip(), value.strip())
        parents = dict.fromkeys(address_of(word) for word in settings.get("destination", "").split())
        return cls(settings.get("api key", ""), settings.get("CAfile", ""), tuple(parents))


def address_of(word: str) -> tuple[str, int]:
    """Return host and port of one destination, `HOST`, `HOST:PORT`, each with or without `:SSL` behind it."""
    host, _, port = word.removesuffix(":SSL").partition(":")
    return host, int(port or 19999)


def _context(ca_file: str) -> ssl.SSLContext:
    """Return what verifies the parent as a child does: by the authority alone, whatever the name."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.check_hostname = False
    if not ca_file:
        context.verify_mode = ssl.CERT_NONE
    return context


def main(arguments: Sequence[str] | None = None) -> int:
    """Stream the nodes that the arguments describe; returns 1 unless each of them was accepted once."""
    parser = argparse.ArgumentParser(description="Stream simulated nodes into a Netdata parent.")
    parser.add_argument("--configuration", type=Path, default=STREAM_CONF, help="a child's stream.conf")
    parser.add_argument("--parents", nargs="+", type=address_of, metavar="HOST[:PORT]")
    parser.add_argument("--key", help="instead of the child's")
    parser.add_argument("--ca-file", help="instead of the child's; empty: verify nothing")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--nodes", type=int, default=1, help=f"at most {MAX_NODES}")
    parser.add_argument("--prefix", default="sim-")
    parser.add_argument("--every", type=int, default=1, help="seconds from sample to sample")
    parser.add_argument("--charts", type=int, default=0, help="more than the dashboard's")
    parser.add_argument("--dimensions", type=int, default=4, help="of each of those")
    parser.add_argument("--seconds", type=float, default=600)
    given = parser.parse_args(arguments)
    if not 0 < given.nodes <= MAX_NODES or given.every < 1:
        parser.error(f"1 to {MAX_NODES} nodes, a sample every second or less often")
    child = Child.read(given.configuration) if given.configuration.exists() else Child("", "", ())
    parents = given.parents or child.parents
    if not parents:
        parser.error(f"no parent: neither --parents nor a destination in {given.configuration}")
    nodes = [
        Node(f"{given.prefix}{number:03}", given.every, given.charts, given.dimensions)
        for number in range(1, given.nodes + 1)
    ]
    context = None if given.plain else _context(child.ca_file if given.ca_file is None else given.ca_file)
    simulation = Simulation(nodes, parents, child.key if given.key is None else given.key, context)
    document = asyncio.run(simulation.run(given.seconds))
    sys.stdout.write(json.dumps(document) + "\n")
    return 0 if simulation.accepted >= len(nodes) else 1


if __name__ == "__main__":
    sys.exit(main())
