"""Writes nexus.yml: only a text that is a valid intent replaces the one that is there."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from nexus_ops.files import rewrite, write_atomically
from nexus_ops.intent.load import parse_intent

if TYPE_CHECKING:
    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Intent

SCHEMA_NAME = ".nexus.schema.json"


def write_intent(environment: Environment, text: str) -> Intent:
    """Replace the intent of `environment` by `text` and return it; the JSON Schema for editors lies beside it.

    Raises IntentError when the text is not valid; then nothing is written.
    """
    intent = parse_intent(text.encode(), environment.intent)
    environment.folder.mkdir(parents=True, exist_ok=True)
    schema = resources.files("nexus_ops.intent").joinpath("nexus.schema.json").read_text(encoding="utf-8")
    write_atomically(environment.folder / SCHEMA_NAME, schema)
    rewrite(environment.intent, text)
    return intent
