"""Validation of a document against the published schema, and its faults in the words of a person.

The remedies come from the schema itself (`errorMessage`), so that editors and the command line say the same.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import Fault, UsageError
from nexus_ops.intent.document import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jsonschema_rs import Draft202012Validator, ValidationError

    from nexus_ops.intent.document import Document, Path

SCHEMA_FILE = FilePath(__file__).with_name("nexus.schema.json")

_SOURCE_KINDS = ("image", "git", "archive", "path")  # in this order: an image may have an archive too
_SECRET_KEYS = {"webhook", "git", "archive"}  # addresses that may carry a token, never repeated on a screen
_TYPES = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a section"}


@cache
def load_schema() -> dict[str, Any]:
    """Return the published JSON Schema (draft 2020-12) of nexus.yml."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_bytes())
    return schema


def check_name(name: str, what: str) -> None:
    """Raise UsageError, which begins with `what`, unless `name` is one as clusters and nodes have it."""
    rule = load_schema()["$defs"]["nodeName"]
    if not re.fullmatch(rule["pattern"], name):
        raise UsageError(f"{what} {name!r} cannot be a name", next_step=rule["errorMessage"])


@cache
def _validator() -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(load_schema())


def check_schema(document: Document) -> tuple[list[Fault], set[Path]]:
    """Return the faults that the schema finds in `document`, and the paths of the values that cannot be used."""
    faults: list[Fault] = []
    unusable: set[Path] = set()
    for error in _flatten(_validator().iter_errors(document.value)):
        for path, message, remedy in _describe(error, document):
            faults.append(Fault(document.file, document.line(path), message, remedy))
            if error.kind.name not in {"required", "propertyNames"}:
                unusable.add(path)
        if error.kind.name == "falseSchema":  # replicas and nodes together: neither counts
            unusable.update((*error.instance_path[:-1], key) for key in ("replicas", "nodes"))
    return faults, unusable


def _flatten(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Replace the one fault 'none of the source kinds' by the faults of the kind that is meant."""
    for error in errors:
        branches = error.kind.as_dict().get("context") if error.kind.name == "oneOf" else None
        kind = _source_kind(error.instance) if branches else None
        if branches and kind is not None:
            yield from branches[kind]
        else:
            yield error


def _source_kind(source: Any) -> int | None:
    """Return the index in the schema's oneOf of the kind that `source` means; None where it cannot be told."""
    if not isinstance(source, dict):
        return None
    key = next((key for key in _SOURCE_KINDS if key in source), None)
    branches = load_schema()["$defs"]["source"]["oneOf"]
    return next((index for index, branch in enumerate(branches) if key == branch["required"][0]), None)


def _describe(error: ValidationError, document: Document) -> Iterator[tuple[Path, str, str]]:
    """Yield path, message and remedy of each fault that `error` stands for."""
    path = tuple(error.instance_path)
    details = error.kind.as_dict()
    schemas = _schemas_on(error.schema_path)
    remedy = _error_message(schemas)
    match error.kind.name:
        case "additionalProperties":
            for key in details["unexpected"]:
                yield (*path, key), *_unknown_key(key, path, document.at(path), schemas[-1])
        case "required":
            key = details["property"]
            owner = next(schema for schema in reversed(schemas) if key in schema.get("properties", {}))
            wanted = owner["properties"][key]
            yield path, f"{dotted(path)} has no '{key}'", _error_message([wanted, *_references(wanted)])
        case "propertyNames":
            name = details["error"].instance
            remedy = _error_message([*schemas, *_schemas_on(details["error"].schema_path)])
            yield (*path, name), f"'{name}' cannot be a name in {dotted(path)}", remedy
        case "falseSchema":
            yield path, f"{dotted(path[:-1])} has both 'replicas' and 'nodes'", "keep one of the two"
        case "type":
            yield path, *_wrong_type(path, error.instance, details["types"], document, remedy)
        case "oneOf":
            what = "names no kind of source" if isinstance(error.instance, dict) else f"is {_name_type(error.instance)}"
            yield path, f"{dotted(path)} {what}", remedy
        case "minItems" | "minProperties":
            yield path, f"{dotted(path)} is empty", remedy
        case "uniqueItems":
            yield path, f"{dotted(path)} names something twice", remedy
        case "maxLength":
            yield path, f"{dotted(path)} is too long ({len(document.at(path))} characters)", remedy
        case _:
            yield path, f"{dotted(path)} {_cannot_be(path, document)}", _closest(error, remedy)


def _unknown_key(key: str, path: Path, instance: dict[str, Any], schema: dict[str, Any]) -> tuple[str, str]:
    import difflib

    known = list(schema["properties"])
    if path and path[-1] == "source" and key in _SOURCE_KINDS:
        return f"{dotted(path)} has '{known[0]}' and '{key}', two kinds of source", "keep one of the two"
    where = f"in {dotted(path)}" if path else "at the top level"
    message = f"unknown key '{key}' {where}"
    if close := difflib.get_close_matches(key, [name for name in known if name not in instance], 1):
        return message, f"did you mean '{close[0]}'?"
    if home := _section_of(key):
        return message, f"it belongs in {home}"
    return message, f"the keys here are {', '.join(known)}"


def _section_of(key: str) -> str:
    """Return the section that knows `key`, "" where none or more than one does."""
    definitions = load_schema()["$defs"]
    sections = {
        "a node": definitions["node"],
        "ssh": definitions["ssh"],
        "ha": definitions["ha"],
        "ha.acme": definitions["ha"]["properties"]["acme"],
        "ha.objective": definitions["ha"]["properties"]["objective"],
        "a service": definitions["service"],
        "a service's health": definitions["service"]["properties"]["health"],
        "monitoring": definitions["monitoring"],
        "monitoring.alerts": definitions["monitoring"]["properties"]["alerts"],
        "the top level": load_schema(),
    }
    homes = [name for name, section in sections.items() if key in section["properties"]]
    return homes[0] if len(homes) == 1 else ""


def _wrong_type(path: Path, value: Any, wanted: list[str], document: Document, remedy: str) -> tuple[str, str]:
    message = f"{dotted(path)} is {_name_type(value)}"
    if "string" in wanted and isinstance(value, (bool, int, float)):
        return f"{message}, not a text", f'put it in quotes: "{document.written(path)}"'
    return message, remedy


def _name_type(value: Any) -> str:
    return "empty" if value is None else _TYPES[type(value)]


def _cannot_be(path: Path, document: Document) -> str:
    """Return what to say of the value at `path`: it is cut short, and not repeated where it may be confidential."""
    if "env" in path[2:] or _SECRET_KEYS.intersection(path):
        return "will not do as it is written"
    written = document.written(path)
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in written)
    if type(document.at(path)) in {int, float}:
        return f"cannot be {text}"
    return f"cannot be '{text}'" if len(text) <= 60 else f"cannot be '{text[:57]}...'"


def _closest(error: ValidationError, remedy: str) -> str:
    if error.kind.name == "enum":
        import difflib

        options = [str(option) for option in error.kind.as_dict()["options"] if option is not False]
        if close := difflib.get_close_matches(str(error.instance).lower(), options, 1):
            return f"did you mean '{close[0]}'?"
    return remedy


def _schemas_on(schema_path: list[str | int]) -> list[dict[str, Any]]:
    """Return the schemas passed on the way down to a failing keyword, outermost first."""
    schemas: list[dict[str, Any]] = []
    place: Any = load_schema()
    for step in schema_path:
        if isinstance(place, dict):
            schemas.append(place)
        place = place[step]
    return schemas


def _references(schema: dict[str, Any]) -> list[dict[str, Any]]:
    reference = schema.get("$ref")
    return [load_schema()["$defs"][reference.removeprefix("#/$defs/")]] if reference else []


def _error_message(schemas: list[dict[str, Any]]) -> str:
    """Return what the innermost of `schemas` says would be right."""
    return str(next(schema["errorMessage"] for schema in reversed(schemas) if "errorMessage" in schema))
