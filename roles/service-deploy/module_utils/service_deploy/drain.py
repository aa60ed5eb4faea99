"""Draining: the ports of this node answer nobody from outside any more, while what is under way ends in peace.

On the worker, not in the load balancers: their dial fails at once, which they may repeat elsewhere even for a POST. A
drain is a lease in the kernel that has to be renewed, so it ends by itself when whoever holds it dies.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.commands import last_words, run
from ansible.module_utils.service_deploy.firewall import NFT
from ansible.module_utils.service_deploy.health import LOOPBACK, tcp_sockets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TABLE = "nexus_drain"
FORWARDS = "nexus_forward"
LEASE = 20  # seconds
RENEWED = 5.0  # every so many seconds
FORWARDED = 3600  # seconds for which a port that was left leads to the new one
PAUSE = 0.1  # seconds
# States of /proc/net/tcp (include/net/tcp_states.h): established, SYN received. A peer that closed waits for nothing.
UNDER_WAY = ("01", "03")

# Told by address, not by interface: a load balancer on the same machine comes over the loopback interface too.
DRAINING = f"""table inet {TABLE} {{
    set ports {{
        type inet_service
        flags timeout
    }}
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        ip daddr 127.0.0.0/8 accept
        ip6 daddr ::1 accept
        tcp dport @ports tcp flags & (syn | ack) == syn reject with tcp reset
    }}
}}
"""
FORWARDING = f"""table inet {FORWARDS} {{
    map ports {{
        type inet_service : inet_service
        flags timeout
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        meta l4proto tcp fib daddr type local redirect to :tcp dport map @ports
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        meta l4proto tcp fib daddr type local redirect to :tcp dport map @ports
    }}
}}
"""


class DrainError(StateError):
    """The ports could not be closed: nothing that runs was touched."""


@contextlib.contextmanager
def drained(ports: Iterable[int]) -> Iterator[None]:
    """Have `ports` refuse new connections from outside, for the length of a `with` block. Raises DrainError."""
    ports = sorted(set(ports))
    _require(TABLE, DRAINING)
    _renew(ports)
    over = threading.Event()
    renewing = threading.Thread(target=_keep, args=(ports, over), daemon=True)
    renewing.start()
    try:
        _see_refused(ports)
        yield
    finally:
        over.set()
        renewing.join()
        _release(ports)


def wait_for_requests(port: int, limit: float) -> int:
    """Wait up to `limit` seconds until no connection from outside is under way; return how many still are."""
    ends = time.monotonic() + limit
    while (left := connections(port)) and time.monotonic() < ends:
        time.sleep(PAUSE)
    return left


def connections(port: int) -> int:
    """Return how many connections to a port of this node are under way that were not made on it by loopback."""
    return sum(state in UNDER_WAY and not LOOPBACK.fullmatch(address) for address, state, _ in tcp_sockets(port))


def forward(old: int, new: int) -> None:
    """Have connections to the port `old` arrive at `new` for an hour: load balancers learn of the change later."""
    _require(FORWARDS, FORWARDING)
    text = f"add element inet {FORWARDS} ports {{ {old} timeout {FORWARDED}s : {new} }}"
    _nft(text, f"cannot lead port {old} to {new}")


def end_forward(port: int) -> None:
    """End what `forward` began at that port, if it did: a service listens there itself, or nobody is to."""
    run([NFT, f"delete element inet {FORWARDS} ports {{ {port} }}"])


def _require(table: str, text: str) -> None:
    if run([NFT, "list", "table", "inet", table]).returncode != 0:
        _nft(text, f"cannot make the table {table}")


def _renew(ports: Sequence[int]) -> None:
    """Begin the lease, or begin it anew, in one step. An element's time cannot be changed, so it is made again."""
    elements = ", ".join(f"{port} timeout {LEASE}s" for port in ports)
    plain = ", ".join(map(str, ports))
    _nft(
        f"add element inet {TABLE} ports {{ {elements} }}\n"
        f"delete element inet {TABLE} ports {{ {plain} }}\n"
        f"add element inet {TABLE} ports {{ {elements} }}\n",
        f"cannot drain port {plain}",
    )


def _keep(ports: Sequence[int], over: threading.Event) -> None:
    while not over.wait(RENEWED):
        with contextlib.suppress(StateError):
            _renew(ports)


def _release(ports: Sequence[int]) -> None:
    for port in ports:  # one by one: a lease that ended by itself is no fault
        run([NFT, f"delete element inet {TABLE} ports {{ {port} }}"])


def _see_refused(ports: Sequence[int]) -> None:
    """See that nothing new arrives: a connection to this node's own address has to be refused. Raises DrainError."""
    address = own_address()
    for port in ports if address else ():
        try:
            socket.create_connection((address, port), 2).close()
        except ConnectionRefusedError:
            continue
        except OSError as error:
            raise DrainError(f"cannot drain port {port}: {error.strerror or error}") from error
        raise DrainError(
            f"port {port} still takes connections while it is drained; does another nftables table accept it?"
        )


def own_address() -> str:
    """Return an address of this node that is not loopback, empty when it has none."""
    for family, other in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))  # sends nothing; the kernel chooses the address it would use
            return str(probe.getsockname()[0])
    return ""


def _nft(text: str, what: str) -> None:
    done = run([NFT, text])
    if done.returncode != 0:
        raise DrainError(f"{what}: {last_words(done, 1)}")
