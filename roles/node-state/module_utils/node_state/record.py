"""What a call changes, as the person sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

HIDDEN = "(a line that may hold a secret)"


@dataclass
class Record:
    """Steps are sentences without subject (`write /etc/x`); diffs are in the form Ansible shows."""

    steps: list[str] = field(default_factory=list)
    diffs: list[dict[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.steps)

    def note(self, step: str) -> None:
        """Record a change that has no text to compare."""
        self.steps.append(step)
        self.diffs.append({"prepared": f"{step}\n"})

    def note_text(self, step: str, path: str, before: str, after: str) -> None:
        """Record a change of a text."""
        self.steps.append(step)
        self.diffs.append({"before_header": path, "after_header": path, "before": before, "after": after})


def without_secrets(before: str, after: str) -> str:
    """Return `before` with every line hidden that is not in `after` too (`after` shows placeholders, never secrets)."""
    known = set(after.splitlines())
    return "".join(line if line.rstrip("\n") in known else f"{HIDDEN}\n" for line in before.splitlines(keepends=True))
