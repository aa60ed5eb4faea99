"""Edits of nexus.yml keep every other line as it was."""

from __future__ import annotations

import pytest

from nexus_ops.errors import UsageError
from nexus_ops.intent.edit import add_node, remove_node

TEXT = """\
# head
cluster: production   # name
nodes:
  # balancers
  lb1:  {address: 192.0.2.21, roles: [lb]}
  # workers below
  w1:   {address: 192.0.2.31, roles: [worker]}    # old box
  w2:
    address: 192.0.2.32
    roles:
      - worker   # only that

# the front
ha: {tls: "off"}
services:
  web: {nodes: [w1, w2]}
  api:
    nodes:
      - w1  # first
      - w2
"""


def test_add() -> None:
    added = add_node(TEXT, "w3", "192.0.2.33", ["worker"], {"port": 2222})
    line = "  w3: {address: 192.0.2.33, roles: [worker], ssh: {port: 2222}}\n"
    assert added.replace(line, "") == TEXT
    assert added.index("- worker   # only that") < added.index(line) < added.index("# the front")


def test_add_then_remove_gives_the_same_text() -> None:
    assert remove_node(add_node(TEXT, "w3", "2001:db8::3", ["lb", "worker"], {}), "w3") == (TEXT, [])


@pytest.mark.parametrize(
    ("name", "gone", "services"),
    [
        ("lb1", ["  lb1:  {address: 192.0.2.21, roles: [lb]}\n"], []),
        (
            "w1",
            ["  w1:   {address: 192.0.2.31, roles: [worker]}    # old box\n", "w1, ", "      - w1  # first\n"],
            ["web", "api"],
        ),
        (
            "w2",
            [
                "  w2:\n    address: 192.0.2.32\n    roles:\n      - worker   # only that\n",
                ", w2",
                "      - w2\n",
            ],
            ["web", "api"],
        ),
    ],
)
def test_remove(name: str, gone: list[str], services: list[str]) -> None:
    expected = TEXT
    for part in gone:
        assert expected.count(part) == 1
        expected = expected.replace(part, "")
    assert remove_node(TEXT, name) == (expected, services)


def test_flow_style() -> None:
    text = "nodes: {a: {address: 192.0.2.1}, b: {address: 192.0.2.2}}\n"
    assert remove_node(text, "a")[0] == "nodes: {b: {address: 192.0.2.2}}\n"
    assert remove_node(text, "b")[0] == "nodes: {a: {address: 192.0.2.1}}\n"
    assert add_node(text, "c", "192.0.2.3", ["lb"], {}).endswith(", c: {address: 192.0.2.3, roles: [lb]}}\n")


def test_without_a_last_newline_and_without_nodes() -> None:
    assert add_node("nodes:\n  a: {}", "b", "192.0.2.2", ["lb"], {}).splitlines()[1:] == [
        "  a: {}",
        "  b: {address: 192.0.2.2, roles: [lb]}",
    ]
    assert "nodes:\n  b:" in add_node("cluster: x\n", "b", "192.0.2.2", ["lb"], {})


def test_refusals() -> None:
    with pytest.raises(UsageError, match="there is a node 'w1' already"):
        add_node(TEXT, "w1", "192.0.2.40", ["worker"], {})
    with pytest.raises(UsageError, match="no node 'w9'"):
        remove_node(TEXT, "w9")
