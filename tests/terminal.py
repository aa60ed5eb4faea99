"""A person at a terminal: runs a command on a pseudo-terminal and answers its questions."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

END_OF_INPUT = "\x04"
INTERRUPT = "\x03"

# Python's own `pty.spawn` cannot be told what to type when; this makes the terminal the controlling one, so that the
# keys above do what they do for a person, and then becomes the command.
BECOME = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def converse(
    command: Sequence[str], dialogue: Sequence[tuple[str, str]], *, cwd: Path | None = None, seconds: float = 20
) -> tuple[int, str]:
    """Run `command` on a terminal; for each pair of `dialogue` wait until the first text shows, then type the second.

    Returns the exit code and everything that was shown. Raises AssertionError when a text does not show in `seconds`,
    subprocess.TimeoutExpired when the command does not end in them.
    """
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", BECOME, *command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=cwd,
        start_new_session=True,
    )
    os.close(terminal)
    shown = ""
    position = 0
    try:
        for prompt, answer in dialogue:
            shown = _read_until(controller, shown, seconds, partial(_shows, prompt, position))
            assert prompt in shown[position:], f"{prompt!r} was not asked within {seconds} s; shown: {shown}"
            position = shown.index(prompt, position) + len(prompt)
            os.write(controller, answer.encode())
        shown = _read_until(controller, shown, seconds, lambda _text: False)
        return process.wait(timeout=seconds), shown.replace("\r\n", "\n")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(controller)


def _shows(prompt: str, position: int, shown: str) -> bool:
    return prompt in shown[position:]


def _read_until(controller: int, shown: str, seconds: float, done: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + seconds
    while not done(shown) and (left := deadline - time.monotonic()) > 0:
        if not select.select([controller], [], [], left)[0]:
            break
        try:
            data = os.read(controller, 65536)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            break
        if not data:
            break
        shown += data.decode(errors="replace")
    return shown
