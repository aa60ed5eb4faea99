"""A YAML file as plain data that remembers on which line each value stands and how it was written.

It is built from the parser's events rather than its node tree: half the time, no limit of nesting that the C stack
would set, and keys and numbers stay as the person wrote them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from nexus_ops.errors import Fault, IntentError
from nexus_ops.intent.syntax import TOO_DEEP, explain

if TYPE_CHECKING:
    from pathlib import Path as FilePath

Path = tuple[str | int, ...]  # of a value: keys and list positions from the top

MAX_DEPTH = 32  # the intent needs six
MAX_VALUES = 100_000  # aliases counted as often as they are used: no file of a kilobyte fills the memory

_TAG = "tag:yaml.org,2002:"
# Compiled when they are needed: start-up time.
_INTEGER = r"[-+]?(0|[1-9][0-9]{0,17})"
_FLOAT = r"[-+]?[0-9]{1,18}\.[0-9]{1,18}"
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(slots=True)
class _Node:
    """A parsed value: `children` (with the lines of their keys) for maps and lists, else `value` and `written`."""

    line: int
    value: Any = None
    written: str = ""
    children: dict[str | int, tuple[int, _Node]] | None = None
    is_list: bool = False

    def plain(self) -> Any:
        if self.children is None:
            return self.value
        if self.is_list:
            return [child.plain() for _, child in self.children.values()]
        return {key: child.plain() for key, (_, child) in self.children.items()}

    def count(self) -> int:
        return 1 + sum(child.count() for _, child in self.children.values()) if self.children else 1


@dataclass(frozen=True)
class Document:
    """A YAML document: plain `value` (text, int, float, bool, None, dict with text keys, list), and its `faults`.

    `faults` are those that leave a value all the same, such as a key that stands there twice.
    """

    file: FilePath
    value: Any
    faults: list[Fault]
    _root: _Node = field(repr=False)

    def line(self, path: Path) -> int:
        """Return the line (from 1) of the key or list item at `path`; of what holds it where it does not exist."""
        line, node = self._root.line, self._root
        for step in path:
            if node.children is None or step not in node.children:
                break
            line, node = node.children[step]
        return line

    def at(self, path: Path) -> Any:
        """Return the plain value at `path`, which exists."""
        value = self.value
        for step in path:
            value = value[step]
        return value

    def written(self, path: Path) -> str:
        """Return the text, number or word at `path` as it stands in the file, without its quotes."""
        node = self._root
        for step in path:
            node = (node.children or {})[step][1]
        return node.written


def dotted(path: Path) -> str:
    """Return how people write a path: `services.web.nodes[0]`; the empty path is `the file`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the file"


def parse_document(data: bytes, file: FilePath) -> Document:
    """Return the one YAML document in `data`; `file` is named in faults.

    Raises IntentError where there is no document to speak of: not UTF-8, empty, not YAML.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise IntentError([Fault(file, line, "this is not UTF-8 text", "save the file as UTF-8")]) from None
    composer = _Composer(text, file)
    root = composer.compose()
    if root is None or (root.children is None and root.value is None):
        raise IntentError([Fault(file, 1, "the file is empty", "write the intent, or make one: nexus-ops init")])
    return Document(file, root.plain(), composer.faults, root)


class _Composer:
    """Builds nodes from the events of one text."""

    def __init__(self, text: str, file: FilePath) -> None:
        self.faults: list[Fault] = []
        self._text = text
        self._file = file
        self._loader: Any = None
        self._anchors: dict[str, tuple[_Node, int]] = {}
        self._values = 0

    def compose(self) -> _Node | None:
        try:
            self._loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(self._text)  # C where PyYAML was built with it
            return self._document()
        except yaml.YAMLError as error:
            line, message, remedy = explain(error, self._text)
            raise IntentError([*self.faults, Fault(self._file, line, message, remedy)]) from None

    def _document(self) -> _Node | None:
        self._loader.get_event()  # start of the stream
        if self._loader.check_event(yaml.StreamEndEvent):
            return None
        self._loader.get_event()  # start of the document
        root = self._node(())
        self._loader.get_event()  # end of the document
        if not self._loader.check_event(yaml.StreamEndEvent):
            line = self._loader.peek_event().start_mark.line + 1
            self._refuse(line, "a second document starts here", "keep one intent in a file, without '---' inside")
        return root

    def _refuse(self, line: int, message: str, remedy: str) -> NoReturn:
        raise IntentError([*self.faults, Fault(self._file, line, message, remedy)])

    def _complain(self, line: int, message: str, remedy: str) -> None:
        self.faults.append(Fault(self._file, line, message, remedy))

    def _count(self, line: int, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._refuse(line, f"the file comes to more than {MAX_VALUES} values", "write fewer, or use fewer aliases")

    def _node(self, path: Path) -> _Node:
        event = self._loader.get_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if len(path) > MAX_DEPTH:
            self._refuse(line, *TOO_DEEP)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, line, path)
        else:
            node = self._map(event, line, path)
        self._count(line, 1)
        if event.anchor is not None:  # only now: an alias inside its own anchor has no end
            self._anchors[event.anchor] = node, node.count()
        return node

    def _alias(self, anchor: str, line: int) -> _Node:
        if anchor not in self._anchors:
            self._refuse(line, f"no '&{anchor}' stands above '*{anchor}'", "write the value, or put it in quotes")
        node, values = self._anchors[anchor]
        self._count(line, values)
        return node

    def _list(self, event: yaml.SequenceStartEvent, line: int, path: Path) -> _Node:
        self._check_tag(event.tag, line)
        children: dict[str | int, tuple[int, _Node]] = {}
        while not self._loader.check_event(yaml.SequenceEndEvent):
            item_line = self._loader.peek_event().start_mark.line + 1
            children[len(children)] = item_line, self._node((*path, len(children)))
        self._loader.get_event()
        return _Node(line, children=children, is_list=True)

    def _map(self, event: yaml.MappingStartEvent, line: int, path: Path) -> _Node:
        self._check_tag(event.tag, line)
        children: dict[str | int, tuple[int, _Node]] = {}
        merged: dict[str | int, tuple[int, _Node]] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            is_plain = self._loader.check_event(yaml.ScalarEvent) and not self._loader.peek_event().style
            key_line = self._loader.peek_event().start_mark.line + 1
            key = self._node((*path, "?"))
            child = self._node((*path, key.written))
            # No key of an intent is a number, and jsonschema_rs cannot say where those are: it takes 01 for 1.
            if key.children is not None or not _is_name(key.written):
                message = f"a key in {dotted(path)} is not a name: {key.written!r}"
                self._complain(key_line, message, "write 'name: value', with a letter first in the name")
            elif key.written == "<<" and is_plain:
                self._merge(child, key_line, merged)
            elif key.written in children:
                first = children[key.written][0]
                message = f"key '{key.written}' stands twice in {dotted(path)} (first on line {first})"
                self._complain(key_line, message, "keep one of them")
            else:
                children[key.written] = key_line, child
        self._loader.get_event()
        return _Node(line, children={**children, **{k: v for k, v in merged.items() if k not in children}})

    def _merge(self, node: _Node, line: int, merged: dict[str | int, tuple[int, _Node]]) -> None:
        sources = [child for _, child in (node.children or {}).values()] if node.is_list else [node]
        for source in sources:
            if source.children is None or source.is_list:
                self._complain(line, "'<<' takes the keys of another section, and this is none", "write '<<: *anchor'")
                continue
            for key, entry in source.children.items():
                merged.setdefault(key, entry)

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag not in {None, "!", f"{_TAG}map", f"{_TAG}seq"}:
            self._complain(line, f"the tag '{_short(str(tag))}' means nothing here", "remove it")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> _Node:
        tag, text = event.tag, event.value
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(line, "an escape here stands for half a character", "write the character itself")
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, text, event.implicit)
        value: Any = text
        match tag.removeprefix(_TAG):
            case "null":
                value = None
            case "bool":
                value = _BOOLEANS.get(text.lower(), text)
            # Octal, hexadecimal, base 60 and the like stay text: whoever writes 22:22 does not mean 1342.
            case "int" if re.fullmatch(_INTEGER, text):
                value = int(text)
            case "float" if re.fullmatch(_FLOAT, text):
                value = float(text)
            case "str" | "int" | "float" | "timestamp" | "value" | "merge":
                pass
            case _:
                self._complain(
                    line, f"the tag '{_short(tag)}' means nothing here", "remove it and write the plain value"
                )
        return _Node(line, value=value, written=text)


def _is_name(key: str) -> bool:
    return key != "" and key.isprintable() and not key.removeprefix("+").isdigit()


def _short(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
