"""What a parent's API says of the nodes, asked from a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible.module_utils.netdata_status import view


def line(instance: str, seconds: float, value: str = "13427") -> str:
    labels = f'chart="system.cpu",family="cpu",dimension="user",instance="{instance}"'
    return f"netdata_system_cpu_total{{{labels}}} {value} {int(seconds * 1000)}\n"


def info(instance: str, seconds: float) -> str:
    return f'netdata_info{{instance="{instance}",application="netdata"}} 1 {int(seconds * 1000)}\n'


class Api(ThreadingHTTPServer):
    """Answers as Netdata does; `answers` are by path, without the query."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, str]] = {}
        self.queries: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Serves what the server holds."""

    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.queries.append(query)
        status, text = self.server.answers.get(path, (404, "File does not exist"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def about(*hosts: dict[str, Any]) -> tuple[int, str]:
    return 200, json.dumps({"version": "v1.37.1", "uid": "guid-mgr1", "mirrored_hosts_status": list(hosts)})


def host(name: str, *, reachable: bool = True, hops: int = 1, guid: str = "") -> dict[str, Any]:
    return {"guid": guid or f"GUID-{name}", "hostname": name, "reachable": reachable, "hops": hops}


def test_the_states(api: Api) -> None:
    now = time.time()
    api.answers["/api/v1/info"] = about(
        host("mgr1", hops=0), host("w1"), host("w2"), host("w3", reachable=False), host("w4"), host("stranger")
    )
    text = line("mgr1", now - 1) + line("w1", now - 9) + line("w1", now - 2, "-1.5e3")
    api.answers["/api/v1/allmetrics"] = 200, "# a comment\n" + text + info("w2", now)
    api.answers["/host/w3/api/v1/chart"] = 200, json.dumps({"last_entry": int(now) - 100})
    api.answers["/host/w2/api/v1/chart"] = 200, json.dumps({"last_entry": int(now) - 40})
    api.answers["/host/w4/api/v1/chart"] = 404, "Chart is not found"
    found = view.ask_parent(["mgr1", "w1", "w2", "w3", "w4", "w5"], port=api.server_port)
    assert {name: node["state"] for name, node in found["nodes"].items()} == {
        "mgr1": "live", "w1": "live", "w2": "stale", "w3": "gone", "w4": "stale", "w5": "gone",
    }  # fmt: skip
    assert found["nodes"]["w1"]["lag_seconds"] == pytest.approx(3, abs=2)
    assert found["nodes"]["w2"]["lag_seconds"] == pytest.approx(41, abs=2)  # whole seconds are cut off
    assert found["nodes"]["w3"]["lag_seconds"] == pytest.approx(101, abs=2)
    assert found["nodes"]["w4"]["lag_seconds"] is None
    assert found["nodes"]["w5"] == {"state": "gone", "lag_seconds": None, "hops": None}
    assert found["nodes"]["mgr1"]["hops"] == 0
    assert found["absent"] == ["w2", "w3", "w4", "w5"]
    assert found["others"] == ["stranger"]
    assert found["guids"]["guid-w1"] == "w1"
    assert found["guid"] == "guid-mgr1"
    assert "format=prometheus_all_hosts" in api.queries[1]
    assert len(api.queries) == 2 + 3, "only those without a fresh value are asked about one by one"


def test_a_clock_that_is_ahead_gives_no_negative_lag(api: Api) -> None:
    api.answers["/api/v1/info"] = about(host("w1"))
    api.answers["/api/v1/allmetrics"] = 200, line("w1", time.time() + 60)
    assert view.ask_parent(["w1"], port=api.server_port)["nodes"]["w1"] == {
        "state": "live", "lag_seconds": 0.0, "hops": 1,
    }  # fmt: skip


def test_of_two_with_one_name_the_reachable_one_counts(api: Api) -> None:
    for hosts in ([True, False], [False, True]):
        each = [host("w1", reachable=there, guid=str(there)) for there in hosts]
        known, _ = view.read_hosts(json.loads(about(*each)[1]))
        assert known["w1"]["reachable"] is True


@pytest.mark.parametrize(
    "answer", [(200, "no json"), (200, "[]"), (200, '{"mirrored_hosts_status": [1]}'), (500, "{}")]
)
def test_an_odd_answer_is_a_problem_and_no_crash(api: Api, answer: tuple[int, str]) -> None:
    api.answers["/api/v1/info"] = answer
    api.answers["/api/v1/allmetrics"] = 200, ""
    assert "its API does not answer" in view.ask_parent(["w1"], port=api.server_port)["problem"]


def test_nobody_listens() -> None:
    assert view.ask_parent(["w1"], port=1) == {"problem": "its API does not answer: connection refused"}
