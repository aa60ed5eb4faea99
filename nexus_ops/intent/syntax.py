"""What is wrong with a text that is not YAML, in the words of a person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]"

TOO_DEEP = ("this is nested too deeply", "close the brackets, or indent less")

_MISFIT = (
    "this line does not fit those above",
    "indent the keys of one section alike, close brackets once, and begin list items with '- '",
)

# Words of the parser's complaint: whether the line to name is where the unfinished thing begins, message, remedy.
_EXPLANATIONS = {
    "mapping values are not allowed": (
        False,
        "a ':' stands where no key can be",
        "check the indentation of this line and the one above, and put a value that contains ': ' in quotes",
    ),
    "expected ',' or '}'": (True, "a '{' is not closed", "end it with '}' and put commas between its keys"),
    "expected ',' or ']'": (True, "a '[' is not closed", "end it with ']' and put commas between its items"),
    "unexpected end of stream": (True, "a quote is not closed", "end the text with the quote it began with"),
    "could not find expected ':'": (False, "a key has no ':'", "write 'key: value'"),
    "unknown escape character": (
        False,
        "a backslash in double quotes has no meaning here",
        "use single quotes, or write two backslashes",
    ),
    "exceeded maximum nesting depth": (False, *TOO_DEEP),  # libyaml's own limit
    "did not find expected": (False, *_MISFIT),
    "expected <block end>": (False, *_MISFIT),  # the parser in Python
    "block sequence entries are not allowed": (False, *_MISFIT),
}


def explain(error: yaml.YAMLError, text: str) -> tuple[int, str, str]:
    """Return the line (from 1), the message and the remedy for the parser's `error` about `text`."""
    if control := re.search(_CONTROL, text):
        line = text.count("\n", 0, control.start()) + 1
        return (
            line,
            f"a control character (code {ord(control[0])}) stands here",
            "remove it; in double quotes write \\xNN",
        )
    problem = str(getattr(error, "problem", None) or "it cannot be read")
    mark = getattr(error, "problem_mark", None)
    opening = getattr(error, "context_mark", None) or mark
    line = mark.line if mark else 0
    lines = text.splitlines() or [""]
    here = lines[line] if line < len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return line + 1, "a tab indents this line", "indent with spaces"
    if "cannot start any token" in problem:
        character = here[mark.column : mark.column + 1] if mark else ""
        if character == "\t":
            return line + 1, "a tab stands before the value", "use spaces"
        return line + 1, f"no value can begin with '{character}'", "put the value in quotes"
    for words, (at_opening, message, remedy) in _EXPLANATIONS.items():
        if words in problem:
            return (opening.line if at_opening and opening else line) + 1, message, remedy
    return line + 1, f"this is not YAML ({problem})", "check quotes, brackets and indentation"
