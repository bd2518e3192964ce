"""What CloudWatch takes as a line of its embedded metric format, as a JSON schema: the facts of the specification, in our words."""

from __future__ import annotations

from typing import Any, Final

import jsonschema

UNITS: Final = [
    "Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits",
    "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second",
    "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second",
    "Terabits/Second", "Count/Second", "None",
]  # fmt: skip
NAME: Final = {"type": "string", "minLength": 1, "maxLength": 1024}
LINE_BYTES_MAX: Final = 1024 * 1024

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_500_000_000_000, "maximum": 9_999_999_999_999},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": NAME,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "uniqueItems": True,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": NAME,
                                        "Unit": {"enum": UNITS},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
"""Of the line as such; that its targets are there is `problems`."""
FORM: Final = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
"""To hold documents against; `jsonschema.validate` would look through the schema itself each time."""

_DISTRIBUTION: Final = {"Values", "Counts", "Min", "Max", "Count", "Sum"}


def problems(document: dict[str, Any]) -> list[str]:
    """What a schema cannot say: every dimension has a text, every metric a number or a distribution, at the top of the line."""
    found = []
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for name in (name for names in directive["Dimensions"] for name in names):
            value = document.get(name)
            if not isinstance(value, str) or not value.strip() or not value.isascii() or len(value) > 1024:
                found.append(f"dimension {name}: {value!r}")
        for metric in directive["Metrics"]:
            value = document.get(metric["Name"])
            if isinstance(value, dict):
                pairs = zip(value.get("Values", ()), value.get("Counts", ()), strict=True)
                fits = set(value) == _DISTRIBUTION and 1 <= len(list(pairs)) <= 100
            else:
                fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not fits:
                found.append(f"metric {metric['Name']}: {value!r}")
    return found
