"""Requests that are under way for a long time while something is done to the cluster, and a websocket beside them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType


@dataclass
class LongRequests:
    """`count` GETs of `seconds` each, all begun together; with `websocket` one that connects again when it is told to.

    To be used in a `with` statement; `answered` and `failures` say what became of the GETs, `releases` what the
    websocket heard, `silence` the longest time in seconds for which it heard nothing.
    """

    address: str
    count: int = 10
    seconds: float = 10.0
    websocket: bool = False
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)
    connections: int = 0
    silence: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _begun: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._begun.wait(15), "the long requests did not begin"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(self.seconds + 15)

    async def _run(self) -> None:
        limit = aiohttp.ClientTimeout(total=self.seconds + 10)
        async with aiohttp.ClientSession(timeout=limit) as session:
            gets = [asyncio.create_task(self._get(session)) for _ in range(self.count)]
            listening = [asyncio.create_task(self._listen(session))] if self.websocket else []
            await asyncio.sleep(0.5)
            self._begun.set()
            await asyncio.gather(*gets, *listening)

    async def _get(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(f"http://{self.address}/drip?ms={self.seconds * 1000:.0f}") as answer:
                body = await answer.read()
            if answer.status != 200 or not json.loads(body)["release"]:
                raise ValueError(f"status {answer.status}")  # noqa: TRY301
            self.answered += 1
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        heard = time.monotonic()
        while not self._over.is_set():
            try:
                async with session.ws_connect(f"http://{self.address}/ws") as websocket:
                    self.connections += 1
                    while not self._over.is_set():
                        message = await websocket.receive(timeout=2)
                        if message.type is not aiohttp.WSMsgType.TEXT:
                            break
                        self.silence, heard = max(self.silence, time.monotonic() - heard), time.monotonic()
                        release = json.loads(message.data)["release"]
                        if self.releases[-1:] != [release]:
                            self.releases.append(release)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.1)
