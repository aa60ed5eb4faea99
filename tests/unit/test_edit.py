"""Edits of nexus.yml keep every other line as it was."""

from __future__ import annotations

import pytest

from nexus_ops.errors import UsageError
from nexus_ops.intent.edit import add_node, remove_node, set_monitoring

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


SHARED = """\
nodes:
  w1: {address: 192.0.2.31, roles: [worker]}
  w2: {address: 192.0.2.32, roles: [worker]}
  w3: {address: 192.0.2.33, roles: [worker]}
services:
  web: {nodes: &where [w1, w2, w3]}
  api: {nodes: *where}
"""


def test_a_list_that_two_services_share_is_cut_once() -> None:
    text, services = remove_node(SHARED, "w2")
    assert text == SHARED.replace("  w2: {address: 192.0.2.32, roles: [worker]}\n", "").replace("w2, ", "")
    assert services == ["web", "api"]


@pytest.mark.parametrize(
    "text",
    [
        SHARED.replace("w2: {", "w2: &box {") + "  old: {box: *box}\n",  # the anchor would go
        "base: &all\n  w1: {}\n  w2: {}\nnodes:\n  <<: *all\n  w2: {}\n",  # the merged one would show again
    ],
)
def test_an_edit_that_would_damage_the_rest_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nothing was changed"):
        remove_node(text, "w2")


def test_values_that_are_no_plain_text_are_quoted() -> None:
    added = add_node("nodes:\n  a: {}\n", "b", "192.0.2.2", ["lb"], {"user": "off", "private_key_file": "a, b"})
    assert added.endswith('  b: {address: 192.0.2.2, roles: [lb], ssh: {user: "off", private_key_file: "a, b"}}\n')


def test_the_last_node_of_a_list_is_not_removed() -> None:
    with pytest.raises(UsageError, match="only node of service web"):
        remove_node("nodes: {w1: {}, w2: {}}\nservices: {web: {nodes: [w1]}}\n", "w1")


def test_windows_line_ends_stay() -> None:
    text = TEXT.replace("\n", "\r\n")
    added = add_node(text, "w3", "192.0.2.33", ["worker"], {})
    assert added.count("\n") == added.count("\r\n") == text.count("\r\n") + 1
    assert remove_node(added, "w3")[0] == text


HEAD = "cluster: test\n# the machines\nnodes:\n  w1: {address: 192.0.2.31, roles: [worker]}  # mine\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HEAD, HEAD + "\nmonitoring:\n  enabled: true\n"),
        (HEAD.rstrip("\n"), HEAD + "\nmonitoring:\n  enabled: true\n"),
        (HEAD + "monitoring:\n", HEAD + "monitoring:\n  enabled: true\n"),
        (HEAD + "monitoring:", HEAD + "monitoring:\n  enabled: true\n"),
        (
            "monitoring:  # later\n  # retention_days: 7\n" + HEAD,
            "monitoring:  # later\n  enabled: true\n  # retention_days: 7\n" + HEAD,
        ),
        ("monitoring: {}  # later\n" + HEAD, "monitoring: {enabled: true}  # later\n" + HEAD),
        ("monitoring: ~\n" + HEAD, "monitoring: {enabled: true}\n" + HEAD),
        (
            "monitoring:\n  retention_days: 7\n  enabled: no   # for now\n" + HEAD,
            "monitoring:\n  retention_days: 7\n  enabled: true   # for now\n" + HEAD,
        ),
        ("monitoring: {enabled: false, retention_days: 7}\n", "monitoring: {enabled: true, retention_days: 7}\n"),
        ("{cluster: test}\n", "{cluster: test, monitoring: {enabled: true}}\n"),
        ("{cluster: test, monitoring: }\n", "{cluster: test, monitoring: {enabled: true} }\n"),
        ("  cluster: test\n  ssh: {}\n", "  cluster: test\n  ssh: {}\n\n  monitoring:\n    enabled: true\n"),
        ("monitoring: {retention_days: 7}\n", "monitoring: {retention_days: 7}\n"),
        ("monitoring: {enabled: true}\n", "monitoring: {enabled: true}\n"),
    ],
)
def test_monitoring_is_enabled_where_it_is_not(before: str, after: str) -> None:
    assert set_monitoring(before, enabled=True) == after
    crlf = set_monitoring(before.replace("\n", "\r\n"), enabled=True)
    assert crlf == after.replace("\n", "\r\n") or "\n" not in before
    assert set_monitoring(after, enabled=True) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HEAD, HEAD),
        (HEAD + "monitoring:\n", HEAD + "monitoring:\n"),
        (
            "monitoring:\n    # days\n    retention_days: 7\n" + HEAD,
            "monitoring:\n    enabled: false\n    # days\n    retention_days: 7\n" + HEAD,
        ),
        ("monitoring: {retention_days: 7}\n", "monitoring: {enabled: false, retention_days: 7}\n"),
        ("monitoring:\n  enabled: true  # yes\n", "monitoring:\n  enabled: false  # yes\n"),
        ("monitoring: {enabled: off}\n", "monitoring: {enabled: off}\n"),
    ],
)
def test_monitoring_is_disabled_where_it_is_enabled(before: str, after: str) -> None:
    assert set_monitoring(before, enabled=False) == after


@pytest.mark.parametrize(
    "text",
    [
        "yes: &on true\nmonitoring: {enabled: *on}\n",
        "a: &m {retention_days: 7}\nmonitoring: *m\n",
    ],
)
def test_an_edit_of_monitoring_that_would_damage_the_rest_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nothing was changed"):
        set_monitoring(text, enabled=False)


def test_monitoring_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="says nothing"):
        set_monitoring("{}\n", enabled=True)
