"""A deploy may change on which workers a service runs, and its ref; every other line stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.intent.service_edit import edit_service, edited_intent

TEXT = """\
cluster: test
nodes:
  lb1: {address: 192.0.2.21, roles: [lb]}
  w1: {address: 192.0.2.31, roles: [worker]}
  w2: {address: 192.0.2.32, roles: [worker]}
services:
  web:   # the front
    source: {git: "https://example.com/web.git", ref: v1}   # pinned
    command: run
    port: 8080
    replicas: 1   # for now
  api: {source: {git: "https://example.com/api.git", ref: main}, command: run, port: 8081, domain: api.example.com}
  old:
    source:
      git: https://example.com/old.git
      ref: main
    command: run
    port: 8082
    domain: old.example.com
    nodes:
      - w1   # the big one
      - w2
"""


@pytest.fixture
def written(environment: Environment) -> Environment:
    environment.intent.write_text(TEXT)
    return environment


def edit(environment: Environment, name: str, **changes: object) -> str | None:
    return edit_service(environment, name, **{"nodes": None, "replicas": None, "ref": None, **changes})  # type: ignore[arg-type]


def test_replicas_and_nodes_take_each_others_place(written: Environment) -> None:
    assert edit(written, "web", replicas=2) == TEXT.replace("replicas: 1   #", "replicas: 2   #")
    nodes = edit(written, "web", nodes=["w2"])
    assert nodes is not None
    assert nodes.replace("    nodes: [w2]\n", "") == TEXT.replace("    replicas: 1   # for now\n", "")
    replicas = edit(written, "old", replicas=1)
    assert replicas is not None
    assert "the big one" not in replicas
    assert "    replicas: 1\n" in replicas
    listed = edit(written, "old", nodes=["w2"])
    assert listed is not None
    assert listed.startswith(TEXT.partition("    nodes:\n")[0])
    flow = edit(written, "api", replicas=2)
    assert flow == TEXT.replace("api: {", "api: {replicas: 2, ")


def test_ref(written: Environment) -> None:
    assert edit(written, "web", ref="v2") == TEXT.replace("ref: v1", "ref: v2")
    assert edit(written, "old", ref="v2") == TEXT.replace("      ref: main", "      ref: v2")


def test_nothing_to_change(written: Environment) -> None:
    assert edit(written, "web") is None
    assert edit(written, "web", replicas=1) is None


def test_what_does_not_work_out_is_taken_back(written: Environment, tmp_path: Path) -> None:
    text = edit(written, "web", replicas=2)
    with edited_intent(written, text):
        assert written.intent.read_text() == text
    assert written.intent.read_text() == TEXT
    with edited_intent(written, text) as keep:
        keep()
    assert written.intent.read_text() == text


def test_ref_of_another_kind_of_source(environment: Environment) -> None:
    environment.intent.write_text(TEXT.replace('{git: "https://example.com/web.git", ref: v1}', "{path: apps/web}"))
    with pytest.raises(UsageError, match="web has none"):
        edit(environment, "web", ref="v2")
