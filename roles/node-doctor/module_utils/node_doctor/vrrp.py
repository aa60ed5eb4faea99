"""Whether IP protocol 112 (VRRP) passes between load balancers: they send each other packets at the same time.

The packets name a virtual router that does not exist, so a keepalived that gets one has nothing to do with it.
"""

from __future__ import annotations

import json
import socket
import time

PROTOCOL = 112
# VRRP version 3 (RFC 5798): type 1, router id 0 (those of routers begin at 1), priority 1, no address.
HEADER = bytes([0x31, 0, 1, 0, 0, 25, 0, 0])
MAGIC = b"nexus-ops doctor"
INTERVAL = 0.2


def probe(address: str, peers: dict[str, str], seconds: float) -> dict[str, bool]:
    """Return by peer whether packets of it came to `address`, in `seconds` at most.

    It ends sooner when every peer has been heard and says that it has heard this node. Raises OSError when there is no
    such socket to be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    names = {peer: name for name, peer in peers.items()}
    heard: dict[str, bool] = dict.fromkeys(peers, False)
    known_by: set[str] = set()
    with socket.socket(family, socket.SOCK_RAW, PROTOCOL) as raw:
        raw.bind((address, 0))
        if family == socket.AF_INET:
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)  # others are dropped as forged
        else:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            last = all(heard.values()) and known_by == set(peers)
            _send(raw, peers, [peer for name, peer in peers.items() if heard[name]])
            if last:
                break  # that was the packet that tells the others so
            _listen(raw, names, address, heard, known_by)
    return heard


def _send(raw: socket.socket, peers: dict[str, str], heard: list[str]) -> None:
    packet = HEADER + MAGIC + json.dumps(heard).encode()
    for peer in peers.values():
        try:
            raw.sendto(packet, (peer, 0))
        except OSError:  # the way is barred, by a firewall of this node say: then nobody hears it
            continue


def _listen(
    raw: socket.socket, names: dict[str, str], address: str, heard: dict[str, bool], known_by: set[str]
) -> None:
    """Take packets for an interval."""
    until = time.monotonic() + INTERVAL
    while (left := until - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet, sender = raw.recvfrom(4096)
        except TimeoutError:
            return
        name = names.get(sender[0].partition("%")[0])
        _, magic, text = packet.partition(MAGIC)
        if name is None or not magic:
            continue
        heard[name] = True
        try:
            if address in json.loads(text):
                known_by.add(name)
        except ValueError:
            continue
