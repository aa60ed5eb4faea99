"""Every file in faulty/ has exactly one fault; its first line says `# LINE: MESSAGE; REMEDY` (or how that begins).

They are called .txt because linters read every .yml there is.
"""

import re
from pathlib import Path

import pytest

from nexus_ops.errors import ExitCode, IntentError
from nexus_ops.intent.load import load_intent, parse_intent

FAULTY = sorted((Path(__file__).parent / "faulty").glob("*.txt"))
assert FAULTY, "no faulty intents: the test would check nothing"


@pytest.mark.parametrize("file", FAULTY, ids=lambda file: file.stem)
def test_the_one_fault_is_found_with_its_line_and_remedy(file: Path) -> None:
    expected = re.fullmatch(rb"# (\d+): (.*)", file.read_bytes().splitlines()[0])
    assert expected is not None
    with pytest.raises(IntentError) as caught:
        load_intent(file)
    assert len(caught.value.faults) == 1, caught.value.lines()
    fault = caught.value.faults[0]
    assert (fault.file, fault.line) == (file, int(expected[1])), str(fault)
    wanted = expected[2].decode().replace("{folder}", str(file.parent))
    assert f"{fault.message}; {fault.remedy}".startswith(wanted), str(fault)
    assert caught.value.exit_code == ExitCode.USAGE


def test_all_faults_come_at_once_in_the_order_of_their_lines() -> None:
    text = b"""\
cluster: Production
nodes:
  lb1: {address: 192.0.2.21, roles: [lb]}
  w1: {address: 192.0.2.21, roles: [worker]}
  w1: {address: 192.0.2.31, roles: [worker]}
ha: {virtual_ip: 198.51.100.1/24, tls: maybe}
services:
  web: {source: {path: apps/none}, command: ./run, port: 8080, replicas: 5}
  api: {source: {path: apps/none}, port: 8080, domain: api.example.com, color: blue}
"""
    with pytest.raises(IntentError) as caught:
        parse_intent(text, Path("/srv/inventories/prod/nexus.yml"))
    assert [(fault.line, fault.message) for fault in caught.value.faults] == [
        (1, "cluster cannot be 'Production'"),
        (4, "nodes lb1 and w1 both have the address 192.0.2.21"),
        (5, "key 'w1' stands twice in nodes (first on line 4)"),
        (6, "ha.tls cannot be 'maybe'"),
        (6, "ha.virtual_ip 198.51.100.1/24 is outside the network of lb1 (192.0.2.21)"),
        (8, "services.web has no folder /srv/inventories/prod/apps/none"),
        (8, "services.web wants 5 replicas of 1 workers"),
        (9, "services.api has no 'command'"),
        (9, "services.api has no folder /srv/inventories/prod/apps/none"),
        (9, "services.api wants port 8080, which services.web has on w1"),
        (9, "unknown key 'color' in services.api"),
    ]


def test_one_fault_does_not_cause_others() -> None:
    text = b"""\
cluster: production
nodes:
  lb1: {address: 192.0.2.21, roles: [balancer]}
  w1:
ha: {virtual_ip: 192.0.2.100/24, tls: acme, acme: {}}
services:
  web: {source: {image: web}, port: 0, replicas: 2, domain: "-"}
"""
    with pytest.raises(IntentError) as caught:
        parse_intent(text, Path("nexus.yml"))
    assert [(fault.line, fault.message) for fault in caught.value.faults] == [
        (3, "nodes.lb1.roles[0] cannot be 'balancer'"),
        (4, "nodes.w1 is empty"),
        (5, "ha.acme has no 'email'"),
        (7, "services.web.domain cannot be '-'"),
        (7, "services.web.port cannot be 0"),
    ]


@pytest.mark.parametrize("section", ["env: {TOKEN: [s3cret]}", 'env: {TOKEN: "s3cret\\e"}', 'domain: "s3cret "'])
def test_a_fault_repeats_no_value_that_may_be_secret(section: str) -> None:
    text = f"""\
cluster: production
nodes: {{w1: {{address: 192.0.2.31, roles: [lb, worker]}}}}
services:
  web: {{source: {{git: "https://me:s3cret@git.example.com/{{x}}", ref: main}}, command: ./run, port: 8080, {section}}}
"""
    with pytest.raises(IntentError) as caught:
        parse_intent(text.encode(), Path("nexus.yml"))
    secret = [line for line in caught.value.lines() if "s3cret" in line]
    assert secret == ([] if "TOKEN" in section else [line for line in secret if "domain" in line])
    assert len(caught.value.faults) == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IntentError) as caught:
        load_intent(tmp_path / "nexus.yml")
    assert caught.value.lines() == [f"{tmp_path}/nexus.yml:1: no such file; write it, or make one: nexus-ops init"]


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="cannot be read: is a directory"):
        load_intent(tmp_path)
