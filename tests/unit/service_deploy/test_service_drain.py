"""Draining: which connections are waited for."""

from __future__ import annotations

import socket
import threading
import time

from ansible.module_utils.service_deploy import drain


def test_connections_from_outside_are_waited_for_and_those_over_loopback_are_not() -> None:
    address = drain.own_address()
    assert address, "this machine has no address but loopback"
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert drain.connections(port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert drain.connections(port) == 0, "the health check's own"
            with socket.create_connection((address, port)) as outside:
                accepted = [server.accept()[0] for _ in range(2)]
                assert drain.connections(port) == 1
                assert drain.wait_for_requests(port, 0.2) == 1, "the time is over"
                threading.Timer(0.3, outside.close).start()
                began = time.monotonic()
                assert drain.wait_for_requests(port, 5) == 0, "whoever closed waits for no answer"
                assert time.monotonic() - began < 2
                for connection in accepted:
                    connection.close()
