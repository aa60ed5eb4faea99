"""Loads that run while something is done to the cluster, what they measured, and waiting with a deadline."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.cluster.load import MAX_SECONDS, MAX_TIMEOUT, Outcome, Stream, Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

CLIENT = Path(__file__).with_name("load.py")

GETS = (Stream("get", "GET", "/", 100), Stream("slow get", "GET", "/slow?ms=500", 8))
POSTS = (Stream("post", "POST", "/", 8), Stream("slow post", "POST", "/?ms=300", 4))
KEYED_POSTS = (
    Stream("keyed post", "POST", "/", 8, keyed=True),
    Stream("slow keyed post", "POST", "/?ms=300", 4, keyed=True),
)
MIX = (*GETS, *POSTS, *KEYED_POSTS)


class Report:
    """What became of the requests of one load."""

    def __init__(self, started: float, outcomes: Sequence[Outcome]) -> None:
        """Keep the outcomes; `started` is in epoch seconds, what they count from."""
        self.started = started
        self.outcomes = outcomes

    def of(self, streams: Sequence[Stream] = MIX, *, since: float = 0, until: float = float("inf")) -> list[Outcome]:
        """Return the outcomes of `streams` that were scheduled in a span, in epoch seconds."""
        names = {stream.name for stream in streams}
        return [o for o in self.outcomes if o.stream in names and since <= self.started + o.scheduled < until]

    def failures(self, streams: Sequence[Stream] = MIX, *, since: float = 0, until: float = float("inf")) -> list[str]:
        """Return one line for each failed request: when, which, why."""
        return [
            f"{outcome.scheduled:.2f} s {outcome.stream} from {outcome.worker}: {outcome.error}"
            for outcome in self.of(streams, since=since, until=until)
            if outcome.error is not None
        ]

    def summary(self, streams: Sequence[Stream] = MIX, *, since: float = 0, until: float = float("inf")) -> Summary:
        """Return the counts and times of `streams` in a span."""
        return summarize(self.of(streams, since=since, until=until))


class RunningLoad:
    """A load in a process of its own, for the length of a `with` block; then `report` says what it measured."""

    def __init__(
        self,
        address: str,
        *,
        port: int = 80,
        host: str = "",
        streams: Sequence[Stream] = MIX,
        keep_alive: bool = False,
        timeout: float = MAX_TIMEOUT,
    ) -> None:
        """Prepare a load against `address`; `timeout` for each request, in seconds."""
        arguments = [sys.executable, str(CLIENT), address, f"--port={port}", f"--seconds={MAX_SECONDS}"]
        arguments.append(f"--timeout={timeout:g}")
        if keep_alive:
            arguments.append("--keep-alive")
        if host:
            arguments.append(f"--host={host}")
        for stream in streams:
            key = ":key" if stream.keyed else ""
            arguments.append(f"--stream={stream.name}:{stream.method}:{stream.path}:{stream.rate}{key}")
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """Return what was measured; there is something once the `with` block has ended."""
        assert self._report is not None, "the load has not ended yet"
        return self._report

    def __enter__(self) -> Self:
        """Start the load and wait until it runs."""
        self._process = subprocess.Popen(
            self._arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stderr is not None
        assert self._process.stderr.readline() == "load started\n", "the load client did not start"
        return self

    def go_on(self, seconds: float) -> None:
        """Let the load run for that long."""
        time.sleep(seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the load; its last requests have their 5 s."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            output, complaints = self._process.communicate(timeout=30)
        finally:
            self._process.kill()
        if kind is None:
            assert self._process.returncode == 0, f"the load client failed: {complaints}"
            document = json.loads(output)
            self._report = Report(document["started"], [Outcome(**request) for request in document["requests"]])


@dataclass(frozen=True)
class Measurement:
    """One row of the table at the end of the session."""

    cluster: str
    fault: str
    gets: Summary
    posts: Summary
    keyed_posts: Summary
    posts_run_twice: int
    keys_run_twice: int
    recovered: float | None  # seconds

    @classmethod
    def heading(cls) -> str:
        """Return the line above the rows."""
        return (
            f"{'cluster':8}{'fault':34}{'GET sent':>9}{'failed':>7}{'outage ms':>10}{'silence ms':>11}"
            f"{'p99 ms':>8}{'late ms':>8}{'POST':>6}{'failed':>7}{'twice':>6}"
            f"{'keyed':>6}{'failed':>7}{'twice':>6}{'back s':>8}"
        )

    def row(self) -> str:
        """Return the row, under `heading`."""
        gets, posts, keyed = self.gets, self.posts, self.keyed_posts
        back = "-" if self.recovered is None else f"{self.recovered:.1f}"
        return (
            f"{self.cluster:8}{self.fault:34}{gets.sent:9}{gets.failed:7}{gets.outage_ms:10.0f}{gets.silence_ms:11.0f}"
            f"{gets.p99_ms:8.0f}{gets.late_ms:8.0f}{posts.sent:6}{posts.failed:7}{self.posts_run_twice:6}"
            f"{keyed.sent:6}{keyed.failed:7}{self.keys_run_twice:6}{back:>8}"
        )


MEASUREMENTS: list[Measurement] = []


@dataclass(frozen=True)
class Figure:
    """One row of the table of the monitoring: what was measured, and what it has to be."""

    what: str
    measured: str
    objective: str = ""

    def row(self) -> str:
        """Return the row."""
        return f"{self.what:64}{self.measured:>44}  {self.objective}".rstrip()


FIGURES: list[Figure] = []


def note(what: str, measured: str, objective: str = "") -> None:
    """Put a figure into the table at the end of the session."""
    FIGURES.append(Figure(what, measured, objective))


def wait_until(what: str, deadline: float, condition: Callable[[], object], *, interval: float = 0.2) -> float:
    """Return after how many seconds `condition` held; fails when it does not within `deadline` seconds."""
    start = time.monotonic()
    while True:
        result = condition()
        elapsed = time.monotonic() - start
        if result:
            return elapsed
        assert elapsed < deadline, f"{what}: not within {deadline:g} s"
        time.sleep(interval)
