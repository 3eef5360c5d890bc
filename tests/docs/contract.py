"""docs/asyncapi.yaml as a judge of payloads."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.house.tree import TOP

PAGE = "docs/asyncapi.yaml"


@functools.cache
def document() -> dict[str, Any]:
    """Return the whole description."""
    loaded = yaml.safe_load((TOP / PAGE).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def resolve(reference: str) -> Any:
    """Return what a local reference ("#/a/b") points to. Raises KeyError."""
    found: Any = document()
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


@functools.cache
def _judge(message: str, strictness: int) -> Draft202012Validator:
    """Build the validator of a message's payload.

    The page lets keys pass that it does not know, as it asks of receivers (0). A payload of ours must
    have none, neither among its values and columns (1) nor beside them (2).
    """
    schemas = copy.deepcopy(document()["components"]["schemas"])
    schema = {**document()["components"]["messages"][message]["payload"], "components": {"schemas": schemas}}
    if strictness >= 1:
        for name, part in schemas.items():
            if name.endswith("Values") or name == "Columns":
                part["additionalProperties"] = False
    if strictness >= 2:
        schema["unevaluatedProperties"] = False
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def fault_of(message: str, payload: Mapping[str, Any]) -> str:
    """Say what is wrong with a payload of that message; empty if nothing is."""
    for strictness in range(3):  # the least first: its words are the plainest
        error = best_match(_judge(message, strictness).iter_errors(payload))
        if error is not None:
            return f"{message} {'.'.join(map(str, error.absolute_path)) or 'payload'}: {error.message}"
    return ""
