"""A parent's view: of every node whether its stream is there, over how many hops, and how old its newest value is."""

from __future__ import annotations

import http.client
import json
import re
import time
from typing import Any
from urllib.parse import quote

LIVE_SECONDS = 15.0
"""A node whose newest value is older is stale."""

PATIENCE = 5.0
"""Seconds for one answer of the local Netdata."""

# Raw values of two charts that every node has, of all nodes in one answer. It leaves out what is older than the last
# request of the same `server`, so this one is not the dashboard's; nodes that are missing are asked about one by one.
OPTIONS = "source=as-collected&timestamps=yes&server=nexus-status&filter=system.cpu%20system.uptime"
METRICS = f"/api/v1/allmetrics?format=prometheus_all_hosts&{OPTIONS}"
# Of a chart only: lines about the host itself carry the time of the request.
_LINE = re.compile(r'^[^#{]+\{(?=[^}]*\bchart=")[^}]*\binstance="([^"]*)"[^}]*\} \S+ ([0-9]+)$')


def ask_parent(nodes: list[str], address: str = "127.0.0.1", port: int = 19999) -> dict[str, Any]:
    """Return what the Netdata of this machine knows of `nodes`, or under `problem` why it says nothing.

    `nodes` maps names to state (live, stale or gone), lag_seconds (by this machine's clock; None: unknown) and hops
    (0: this machine, 1: it streams to here, more: another parent passes it on); `absent` are those that are not live.
    """
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        about = json.loads(_get(connection, "/api/v1/info"))
        metrics = _get(connection, METRICS)
        known, guids = read_hosts(about)
        newest = newest_values(metrics)
        newest.update({name: _last_entry(connection, name) for name in nodes if name in known and name not in newest})
        now = time.time()
        seen = {name: describe(known.get(name), newest.get(name, 0.0), now) for name in nodes}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return {"problem": f"its API does not answer: {explain(error)}"}
    finally:
        connection.close()
    return {
        "version": str(about.get("version", "")),
        "guid": str(about.get("uid", "")),
        "nodes": seen,
        "absent": [name for name in nodes if seen[name]["state"] != "live"],
        "others": sorted(name for name, host in known.items() if name not in seen and host["reachable"]),
        "guids": guids,
    }


def read_hosts(about: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the hosts in an answer of /api/v1/info by name, and the name by GUID.

    Of several with one name (a machine was installed again under another GUID) the one that is there counts.
    """
    known: dict[str, dict[str, Any]] = {}
    guids = {}
    for host in about.get("mirrored_hosts_status") or []:
        name = host["hostname"]
        guids[str(host.get("guid", "")).lower()] = name
        if name not in known or host["reachable"]:
            known[name] = {"reachable": bool(host["reachable"]), "hops": host.get("hops")}
    return known, guids


def newest_values(metrics: str) -> dict[str, float]:
    """Return for each node in `metrics` (Prometheus' text format) when its newest value was collected (epoch)."""
    newest: dict[str, float] = {}
    for line in metrics.splitlines():
        found = _LINE.match(line)
        if found:
            name, seconds = found.group(1), int(found.group(2)) / 1000
            newest[name] = max(seconds, newest.get(name, 0.0))
    return newest


def describe(host: dict[str, Any] | None, newest: float, now: float) -> dict[str, Any]:
    """Return state, lag and hops of a node by what the parent says of it; `newest` is 0 where it has no value."""
    if host is None:
        return {"state": "gone", "lag_seconds": None, "hops": None}
    age = max(0.0, round(now - newest, 1)) if newest else None
    if not host["reachable"]:
        state = "gone"
    elif age is None or age > LIVE_SECONDS:
        state = "stale"
    else:
        state = "live"
    return {"state": state, "lag_seconds": age, "hops": host["hops"]}


def explain(error: Exception) -> str:
    """Return the reason of `error` in few words."""
    if isinstance(error, OSError):
        return str(error.strerror or error or "no answer").lower()
    return str(error) or type(error).__name__


def _last_entry(connection: http.client.HTTPConnection, name: str) -> float:
    """Return when the newest value of a node was collected, 0 when there is none."""
    try:
        chart = json.loads(_get(connection, f"/host/{quote(name, safe='')}/api/v1/chart?chart=system.cpu"))
        return float(chart.get("last_entry") or 0.0)
    except (ValueError, AttributeError, TypeError):
        return 0.0


def _get(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode("utf-8", "replace")
    if response.status != 200:
        raise ValueError(f"HTTP {response.status}")
    return text
