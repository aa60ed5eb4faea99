"""The published schema, with a second implementation of JSON Schema that we do not use."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nexus_ops.errors import IntentError
from nexus_ops.intent.document import parse_document
from nexus_ops.intent.schema import check_schema, load_schema

FAULTY = Path(__file__).parent / "faulty"
EXAMPLE = Path(__file__).parents[3] / "inventories" / "example" / "nexus.yml"


def documents() -> list[Any]:
    found = []
    for file in [EXAMPLE, *sorted(FAULTY.glob("*.txt"))]:
        try:
            found.append(pytest.param(parse_document(file.read_bytes(), file), id=file.stem))
        except IntentError:
            continue  # no document, so nothing for a schema
    return found


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema())


@pytest.mark.parametrize("document", documents())
def test_both_implementations_agree(document: Any) -> None:
    refused, _ = check_schema(document)
    assert jsonschema.Draft202012Validator(load_schema()).is_valid(document.value) is not bool(refused)


def test_others_may_read_the_example_with_any_yaml_library() -> None:
    jsonschema.Draft202012Validator(load_schema()).validate(yaml.safe_load(EXAMPLE.read_text()))


def schemas(place: Any) -> list[dict[str, Any]]:
    """Return all objects inside the schema."""
    if isinstance(place, list):
        return [found for child in place for found in schemas(child)]
    if not isinstance(place, dict):
        return []
    return [place, *(found for child in place.values() for found in schemas(child))]


def test_only_maps_by_name_take_any_key() -> None:
    by_name = {"nodes", "services", "env"}
    for schema in schemas(load_schema()):
        for name, child in schema.get("properties", {}).items():
            if isinstance(child, dict) and "title" in child and "object" in child.get("type", ()):
                assert (child["additionalProperties"] is False) is (name not in by_name), name


def test_editors_have_something_to_say_about_every_key() -> None:
    for schema in schemas(load_schema()):
        for name, child in schema.get("properties", {}).items():
            if isinstance(child, dict) and name not in {"source", "nodes"}:
                assert {"title", "description"} <= set(child), name
