"""Does a service answer? One question, from wherever this runs: on its own node, or on a load balancer."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading


def answer_of(address: str, port: int, path: str, timeout: float) -> str:
    """Ask once; return what is wrong, empty when nothing is: no 2xx, or without a `path` no TCP connection.

    `timeout` is in seconds. An IPv6 `address` comes without brackets.
    """
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if not path:
        try:
            socket.create_connection((address, port), timeout).close()
        except OSError as error:
            return f"connect to {shown}: {error.strerror or error}"
        return ""
    question = f"GET http://{shown}{path}"
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):  # not connected yet, or not any more
            connection.sock.shutdown(socket.SHUT_RDWR)

    # The timeout of a socket is for each part of an answer; one whose parts keep coming (100 Continue) would never end.
    timer = threading.Timer(timeout, end)
    timer.start()
    try:
        connection.request("GET", path, headers={"User-Agent": "nexus-ops", "Connection": "close"})
        answer = connection.getresponse()
        problem = ""
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError):
            late.set()
        problem = f"{question}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():
        return f"{question}: no answer within {timeout:g} s"
    if problem:
        return problem
    return "" if 200 <= answer.status < 300 else f"{question}: {answer.status} {answer.reason}"
