"""What services and nodes print does not reach a terminal as orders."""

from __future__ import annotations

import io

import pytest

from nexus_ops.cli.app import Application
from nexus_ops.events import Kind, read_event
from nexus_ops.text import all_visible, visible
from nexus_ops.ui.progress import PlainProgress

ATTACK = "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b[2K\x1b[1A\r\x9b2Jdone: 4 changed"
ORDERS = ("\x1b", "\x07", "\x9b", "\r")


def test_orders_to_a_terminal_are_written_out() -> None:
    assert visible("a\tb\r\nc") == "a\tb\nc"
    assert visible("\x1b[31m\x9b") == "\\x1b[31m\\x9b"
    assert visible("\x1b[31mred\x1b[0m \x1b]0;x\x07") == "\\x1b[31mred\\x1b[0m \\x1b]0;x\\x07"
    assert all_visible({"\x07a": ["\x07", 1, None, {"b": "\x1b"}]}) == {"\\x07a": ["\\x07", 1, None, {"b": "\\x1b"}]}


@pytest.mark.parametrize("verbosity", [0, 2])
def test_neither_a_failure_nor_what_ansible_prints_of_it_has_any(verbosity: int) -> None:
    raw = {
        "event": "runner_on_failed",
        "stdout": f"fatal: [w1]: FAILED! => {ATTACK}",
        "event_data": {"host": "w1", "task": "x", "res": {"msg": ATTACK, "changed": True, "steps": [ATTACK]}},
    }
    event = read_event(raw)
    assert event is not None
    assert event.kind is Kind.FAILED
    screen, log = io.StringIO(), io.StringIO()
    PlainProgress(screen, log, verbosity=verbosity).handle(event)
    for text in (screen.getvalue(), log.getvalue(), event.message, event.changes[0].text):
        assert "done: 4 changed" in text
        assert not any(order in text for order in ORDERS)


def test_the_command_itself_says_none(capsys: pytest.CaptureFixture[str]) -> None:
    application = Application()
    application.say(ATTACK)
    application.complain(ATTACK)
    printed = capsys.readouterr()
    assert not any(order in printed.out + printed.err for order in ORDERS)
