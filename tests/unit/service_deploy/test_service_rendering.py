from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.node_state import StateError
from ansible.module_utils.service_deploy import firewall, render
from ansible.module_utils.service_deploy.model import Service, seconds_of
from ansible.module_utils.service_deploy.releases import last_lines


def service(environment: dict[str, Any] | None = None, **changes: Any) -> Service:
    wanted = {"name": "web", "release": "0123456789ab", "command": "python3 server.py", "port": 8080, **changes}
    return Service.of(wanted, environment or {}, Path("/opt/nexus"))


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("hello", '"hello"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("$HOME `x` \\", r'"\$HOME \`x\` \\"'),
        ("two\nlines # no comment ; ' ", '"two\nlines # no comment ; \' "'),
    ],
)
def test_variables_are_quoted_for_systemd(value: str, quoted: str) -> None:
    assert render.quote_variable(value) == quoted


def test_environment_shows_placeholders_and_ends_with_the_port() -> None:
    web = service({"B": True, "a": 1.5, "PORT": "1", "N": None})
    text = render.environment_text(web)
    assert "true" not in text
    filled = render.filled_in(text, render.secrets_of(web)).splitlines()
    assert filled[1:] == ['B="true"', 'N=""', 'a="1.5"', "PORT=8080"]


def test_placeholders_in_a_value_stay_as_they_are() -> None:
    web = service({"A": "@@WEB_1_B@@", "B": "secret"})
    assert 'A="@@WEB_1_B@@"' in render.filled_in(render.environment_text(web), render.secrets_of(web))


@pytest.mark.parametrize(
    "command",
    [
        "python3 server.py",
        ".venv/bin/gunicorn -b 0.0.0.0:$PORT 'app:make(1)'",
        'server --title "a & b; c | d" > log 2>/dev/null',
        "/usr/bin/env A=1 server",
    ],
)
def test_single_program_takes_the_place_of_its_shell(command: str) -> None:
    assert render.is_one_program(command)
    unit = render.unit_text(service(command=command))
    assert 'ExecStart=/bin/sh -c "exec ' in unit
    assert "KillMode=mixed\n" in unit


@pytest.mark.parametrize(
    "command",
    [
        "cd app && ./server",
        "A=1 ./server",
        "./one; ./two",
        "./one | ./two",
        "(./server)",
        "exec ./server",
        "if true; then ./server; fi",
        "./server\n./other",
        "./server $(cat options)",
        "./server &",
        "./server 2>&1 | tee x",
        "./server 'unclosed",
    ],
)
def test_shell_stays_where_the_command_needs_it(command: str) -> None:
    assert not render.is_one_program(command)
    unit = render.unit_text(service(command=command))
    assert '-c "exec ./' not in unit or command.startswith("exec")
    assert "KillMode=control-group\n" in unit


def test_command_reaches_the_shell_unchanged_by_systemd() -> None:
    assert render.quote_for_systemd('a "$B" 50% \\n @@X@@\nc') == r'"a \"$$B\" 50%% \\n @\x40X@\x40\nc"'


def test_unit_is_hardened_and_comes_back() -> None:
    unit = render.unit_text(service(drain_timeout="45s"))
    for line in (
        *("User=nexus-web", "WorkingDirectory=/opt/nexus/web/current", "Restart=always", "RestartSec=1"),
        *("StartLimitIntervalSec=0", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="),
        *("TimeoutStopSec=45s", "StateDirectory=nexus-web", "WantedBy=multi-user.target"),
    ):
        assert f"\n{line}\n" in unit
    assert "AmbientCapabilities" not in unit


def test_low_port_gets_the_one_capability_it_needs() -> None:
    unit = render.unit_text(service(port=443))
    assert "\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit


def test_firewall_names_ports_and_addresses_of_both_families() -> None:
    text = firewall.rules_text([8081, 8080, 8080], ["192.0.2.22", "2001:db8::1", "192.0.2.21"])
    assert "tcp dport != { 8080, 8081 } accept" in text
    assert "ip saddr { 192.0.2.21, 192.0.2.22 } accept" in text
    assert "ip6 saddr { 2001:db8::1 } accept" in text
    assert text.index("delete table inet nexus_services") < text.index("chain input")


def test_firewall_without_allowed_addresses_lets_nobody_in() -> None:
    text = firewall.rules_text([8080], [])
    assert "saddr" not in text
    assert "reject with tcp reset" in text


def test_firewall_marks_differ_with_the_rules() -> None:
    marks = {firewall.rules_text([8080], [address]).split("comment")[1] for address in ("192.0.2.1", "192.0.2.2")}
    assert len(marks) == 2


def test_firewall_refuses_what_is_no_address() -> None:
    with pytest.raises(StateError, match=r"'192\.0\.2\.0/24' is no IP address"):
        firewall.rules_text([8080], ["192.0.2.0/24"])


@pytest.mark.parametrize(("duration", "seconds"), [("500ms", 0.5), ("1s", 1), ("2m", 120), ("1.5s", 1.5)])
def test_durations(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize("changes", [{"name": "Web"}, {"name": "../x"}, {"name": "x" * 26}, {"drain_timeout": "soon"}])
def test_faulty_service_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        service(**changes)


def test_faulty_variable_is_refused() -> None:
    with pytest.raises(StateError, match="'A-B' cannot name a variable"):
        service({"A-B": "1"})


def test_last_lines_hide_values_and_are_bounded() -> None:
    said = "\n".join(f"line {number}" for number in range(50)) + "\nkey=geheimnis\nfirst part\nlast " + "x" * 999
    lines = last_lines(said, {"KEY": "geheimnis", "TWO": "first part\nlast part ", "SHORT": "ne"}).splitlines()
    assert len(lines) == 15
    assert lines[-3:-1] == ["    key=(hidden)", "    (hidden)"]
    assert max(map(len, lines)) <= 304
