"""What a load balancer finds out about a worker that does not answer it, on loopback."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from ansible.module_utils.caddy_lb.front_door import connect, likely_cause
from ansible.module_utils.caddy_lb.routing import Upstream


def upstream(port: int, address: str = "127.0.0.1") -> Upstream:
    return Upstream("w1", address, port, "", 1.0)


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    address = request.param
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        yield server


def test_an_open_port_has_no_cause(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    assert connect(address, port) == (address, 0)
    assert likely_cause(upstream(port, address), [address]) == ""


def test_a_closed_port_is_refused_and_said_so(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    listener.close()
    assert connect(address, port) == (address, errno.ECONNREFUSED)
    assert f"rejects TCP port {port} from {address}" in likely_cause(upstream(port, address), [address])


def test_a_source_address_that_workers_do_not_accept_is_named(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    listener.close()
    found = likely_cause(upstream(port, address), ["192.0.2.121"])
    assert found == (f"; connections leave from {address}, but w1 accepts 192.0.2.121: name {address} in nexus.yml")
