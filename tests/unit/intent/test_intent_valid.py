"""Intents without faults: what is read, and with which defaults."""

import ipaddress
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from nexus_ops.intent import build
from nexus_ops.intent.document import parse_document
from nexus_ops.intent.draft import DEFAULT_SSH_PORT
from nexus_ops.intent.load import load_intent, parse_intent
from nexus_ops.intent.model import (
    Acme,
    ArchiveSource,
    Dashboard,
    GitSource,
    Health,
    ImageSource,
    Intent,
    Monitoring,
    Objective,
    PathSource,
    Role,
    Service,
    Ssh,
    Tls,
)
from nexus_ops.intent.schema import load_schema

EXAMPLE = Path(__file__).parents[3] / "inventories" / "example" / "nexus.yml"
NODES = """\
cluster: production
nodes:
  w3: {address: 192.0.2.33, roles: [worker, lb]}
  w1: {address: 192.0.2.31, roles: [worker]}
  w2: {address: 192.0.2.32, roles: [worker]}
"""


def parse(text: str, folder: Path = Path("/nowhere")) -> Intent:
    return parse_intent(text.encode(), folder / "nexus.yml")


def test_the_example_says_everything() -> None:
    intent = load_intent(EXAMPLE)
    assert intent.cluster == "production"
    assert list(intent.nodes) == ["mgr1", "lb1", "lb2", "w1", "w2"]
    assert intent.nodes["w2"].ssh == Ssh(user="ops", port=2222, private_key_file=None)
    assert intent.nodes["lb1"].ssh == Ssh(user="ops", port=22, private_key_file=None)
    assert [node.name for node in intent.with_role(Role.WORKER)] == ["w1", "w2"]
    assert intent.ha.virtual_ip == ipaddress.ip_interface("192.0.2.100/24")
    assert (intent.ha.tls, intent.ha.acme) == (Tls.OFF, Acme("ops@example.com"))
    assert intent.services == {
        "web": Service(
            name="web",
            source=PathSource(EXAMPLE.parent / "apps" / "web"),
            command="python3 server.py",
            port=8080,
            nodes=("w1", "w2"),
            env={"GREETING": "hello"},
            health=Health("/healthz", "1s", "1s"),
            domain="web.example.com",
        )
    }
    assert intent.monitoring == Monitoring(
        True, 14, Dashboard("status.example.com", "admin"), "https://alerts.example.com/hook"
    )
    assert len(intent.sha256) == 64


def test_the_example_says_that_it_is_checked_against_the_published_schema() -> None:
    hint = EXAMPLE.read_text().splitlines()[0].partition("$schema=")[2]
    assert (EXAMPLE.parent / hint).resolve() == Path(build.__file__).parent / "nexus.schema.json"


def test_the_defaults_of_a_small_file() -> None:
    intent = parse(NODES + "ha:\nservices:\nmonitoring:\nssh:\n")
    assert intent.nodes["w1"].ssh == Ssh("root", 22, None)
    assert (intent.ha.virtual_ip, intent.ha.tls, intent.ha.acme) == (None, Tls.OFF, None)
    assert intent.ha.objective == Objective("3s", "6%", "60s")
    assert (intent.services, intent.monitoring) == ({}, Monitoring())


def test_the_schema_and_the_model_have_the_same_defaults() -> None:
    definitions = load_schema()["$defs"]
    service, health = definitions["service"]["properties"], definitions["service"]["properties"]["health"]["properties"]
    dashboard = definitions["monitoring"]["properties"]["dashboard"]["properties"]
    assert service["drain_timeout"]["default"] == Service.drain_timeout
    assert service["response_timeout"]["default"] == Service.response_timeout
    assert (health["interval"]["default"], health["timeout"]["default"]) == (Health.interval, Health.timeout)
    assert definitions["monitoring"]["properties"]["retention_days"]["default"] == Monitoring.retention_days
    assert dashboard["user"]["default"] == Dashboard.user
    assert definitions["ha"]["properties"]["tls"]["default"] == Tls.OFF.value
    objective = definitions["ha"]["properties"]["objective"]["properties"]
    assert {name: entry["default"] for name, entry in objective.items()} == asdict(Objective())
    assert definitions["ssh"]["properties"]["user"]["default"] == build.DEFAULT_SSH_USER
    assert definitions["ssh"]["properties"]["port"]["default"] == DEFAULT_SSH_PORT


def test_replicas_are_the_first_workers_of_the_file_and_nodes_stay_as_listed() -> None:
    service = "{source: {image: web}, port: %d, domain: %s%s}"
    intent = parse(
        NODES
        + "services:\n  two: "
        + service % (8001, "a.example.com", ", replicas: 2")
        + "\n  some: "
        + service % (8002, "b.example.com", ", nodes: [w2, w1]")
        + "\n  all: "
        + service % (8003, "C.example.com", "")
    )
    placed = {name: service.nodes for name, service in intent.services.items()}
    assert placed == {"two": ("w3", "w1"), "some": ("w2", "w1"), "all": ("w3", "w1", "w2")}
    assert intent.services["all"].domain == "c.example.com"


def test_one_port_on_different_workers_is_no_clash() -> None:
    one = "{source: {image: web}, port: 8080, nodes: [w1]}"
    other = "{source: {image: web}, port: 8080, nodes: [w2], domain: x.example.com}"
    assert len(parse(f"{NODES}services:\n  one: {one}\n  other: {other}\n").services) == 2


def test_environment_variables_are_as_written() -> None:
    env = "{A: 1.10, B: yes, C: 0755, D: '', E: \"x\\ny\", F: 2024-01-02, G: 12:30, H: 1e3, I: '{{ x }}', no: n}"
    intent = parse(f"{NODES}services:\n  web: {{source: {{image: web}}, port: 8080, env: {env}}}\n")
    assert intent.services["web"].env == {
        "A": "1.10",
        "B": "yes",
        "C": "0755",
        "D": "",
        "E": "x\ny",
        "F": "2024-01-02",
        "G": "12:30",
        "H": "1e3",
        "I": "{{ x }}",
        "no": "n",
    }


def test_the_four_kinds_of_source(tmp_path: Path) -> None:
    for folder in ("app", "repository"):
        (tmp_path / folder).mkdir()
    for file in ("image.tar", "release.tar"):
        (tmp_path / file).touch()
    digest = "AB" * 32
    sources = {
        "path": "{path: app}",
        "git": "{git: 'git@git.example.com:web.git', ref: v1.0}",
        "local": "{git: ./repository, ref: main}",
        "file": f"{{archive: release.tar, sha256: {digest}}}",
        "address": f"{{archive: 'https://files.example.com/web%201.tar?a=b', sha256: {digest}}}",
        "image": "{image: 'registry.example.com:5000/web@sha256:abc'}",
        "saved": "{image: web, archive: image.tar}",
    }
    lines = [
        f"  {name}: {{source: {source}, command: ./run, port: {8000 + number}, domain: {name}.example.com}}\n"
        for number, (name, source) in enumerate(sources.items())
    ]
    intent = parse(NODES + "services:\n" + "".join(lines), tmp_path)
    assert {name: service.source for name, service in intent.services.items()} == {
        "path": PathSource(tmp_path / "app"),
        "git": GitSource("git@git.example.com:web.git", "v1.0"),
        "local": GitSource(str(tmp_path / "repository"), "main"),
        "file": ArchiveSource(str(tmp_path / "release.tar"), digest.lower()),
        "address": ArchiveSource("https://files.example.com/web%201.tar?a=b", digest.lower()),
        "image": ImageSource("registry.example.com:5000/web@sha256:abc"),
        "saved": ImageSource("web", tmp_path / "image.tar"),
    }


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    intent = parse(
        """\
cluster: production
nodes:
  m1: {address: localhost, roles: [manager], ssh: &ssh {user: ops, private_key_file: key}}
  m2: {address: m2.example.com, roles: [manager], ssh: {<<: *ssh, port: 2222}}
  m3: {address: "2001:db8::3", roles: [manager, lb, worker], ssh: *ssh}
""",
        tmp_path,
    )
    key = str(tmp_path / "key")
    assert [node.ssh for node in intent.nodes.values()] == [
        Ssh("ops", 22, key),
        Ssh("ops", 2222, key),
        Ssh("ops", 22, key),
    ]


def test_tls_off_needs_no_quotes() -> None:
    assert parse(NODES + "ha: {tls: off}\n").ha.tls == Tls.OFF


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    assert parse("\ufeff" + NODES.replace("\n", "\r\n")).cluster == "production"


def test_lines_are_those_of_the_keys() -> None:
    document = parse_document(b"a:\n  b:\n    - c\n    - d: 1\n", Path("x.yml"))
    assert [document.line(path) for path in [("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "d"), ("a", "x")]] == [
        1,
        2,
        4,
        4,
        1,
    ]


def test_reading_an_intent_imports_nothing_heavy() -> None:
    program = (
        "import sys, pathlib; from nexus_ops.intent.load import load_intent; load_intent(pathlib.Path(sys.argv[1]));"
        "heavy = {'ansible', 'click', 'difflib', 'requests', 'rich', 'typer'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program, str(EXAMPLE)], check=True)
