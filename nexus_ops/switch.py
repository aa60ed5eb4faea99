"""Turns monitoring on and off in nexus.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_ops.files import read_text
from nexus_ops.intent.edit import set_monitoring
from nexus_ops.intent.load import load_intent
from nexus_ops.intent.write import write_intent

if TYPE_CHECKING:
    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Intent


def require_watchable(environment: Environment) -> None:
    """Raise IntentError when the cluster of `environment` cannot be monitored, enabled or not: no manager, say."""
    load_intent(environment.intent, assume_monitoring=True)


def switch_monitoring(environment: Environment, *, enabled: bool) -> Intent:
    """Have nexus.yml say that monitoring is `enabled`, or that it is not, and return the intent.

    The file is left alone where it says so. Raises IntentError, and UsageError when the edit would damage the file.
    """
    text = read_text(environment.intent)
    edited = set_monitoring(text, enabled=enabled)
    return load_intent(environment.intent) if edited == text else write_intent(environment, edited)
