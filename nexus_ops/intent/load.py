"""Reads nexus.yml: all its faults at once, or the intent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nexus_ops.errors import Fault, IntentError
from nexus_ops.intent.build import build_intent
from nexus_ops.intent.checks import check_rules
from nexus_ops.intent.document import parse_document
from nexus_ops.intent.draft import Draft
from nexus_ops.intent.schema import check_schema

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_ops.intent.model import Intent


def load_intent(path: Path, *, assume_monitoring: bool = False) -> Intent:
    """Return the intent in the file at `path`; with `assume_monitoring` as it would be if monitoring were enabled.

    Raises IntentError with all its faults, an unreadable file included.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise IntentError([Fault(path, 1, "no such file", "write it, or make one: nexus-ops init")]) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise IntentError([Fault(path, 1, f"cannot be read: {reason}", "make it a file that you may read")]) from None
    return parse_intent(data, path, assume_monitoring=assume_monitoring)


def parse_intent(data: bytes, path: Path, *, assume_monitoring: bool = False) -> Intent:
    """Return the intent that `data` would be as the content of `path`, which need not exist.

    Paths inside are relative to the folder of `path`. Raises IntentError with all faults.
    """
    document = parse_document(data, path)
    faults, unusable = check_schema(document)
    if () in unusable:
        raise IntentError([*document.faults, *faults])
    draft = Draft(document, unusable, assume_monitoring=assume_monitoring)
    faults = [*document.faults, *faults, *check_rules(draft)]
    if faults:
        raise IntentError(faults)
    return build_intent(draft, hashlib.sha256(data).hexdigest())
