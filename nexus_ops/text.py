"""Text of others, made harmless for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# All control characters of ISO/IEC 6429 but tab and line feed: a terminal would obey them (titles, clipboard, cursor).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Return `text` with control characters written out, such as \\x1b; tabs and ends of lines stay."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text.replace("\r\n", "\n"))


def all_visible(value: Any) -> Any:
    """Return what JSON can hold, with every text in it made `visible`."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {all_visible(key): all_visible(child) for key, child in value.items()}
    if isinstance(value, list):
        return [all_visible(child) for child in value]
    return value
