"""Read CloudFormation templates and work out what they come to for given parameters, as the service would."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "aws"
TEMPLATES: Final = tuple(sorted(FOLDER.glob("*.yaml")))
STAGES: Final = ("dev", "staging", "prod")
PSEUDO: Final = {
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "000000000000",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "stack",
}
NOTHING: Final = object()
"""What AWS::NoValue stands for."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def load_template(path: Path) -> dict[str, Any]:
    """Return a template with its short forms spelt out."""
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))


def template(name: str) -> dict[str, Any]:
    """Return one of ours."""
    return load_template(FOLDER / f"{name}.yaml")


@dataclass
class Stack:
    """What a template comes to."""

    resources: dict[str, dict[str, Any]]
    exports: dict[str, Any]
    imports: set[str]
    refusals: list[str]
    """Of the rules that the parameters break."""

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of every resource of one type, by logical name."""
        return {name: each.get("Properties", {}) for name, each in self.resources.items() if each["Type"] == kind}


@dataclass
class _Evaluator:
    source: Mapping[str, Any]
    values: Mapping[str, Any]
    imports: set[str] = field(default_factory=set)

    def __call__(self, node: Any) -> Any:
        if isinstance(node, list):
            return [each for each in map(self, node) if each is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, value), *_ = node.items()
            if name == "Ref":
                return self._ref(value)
            if name == "Condition" and isinstance(value, str):
                return self.condition(value)
            if name in self._functions:
                return self._functions[name](self, value)
            if name.startswith("Fn::"):
                raise AssertionError(f"this evaluator does not know {name}")
        found = {key: self(value) for key, value in node.items()}
        return {key: value for key, value in found.items() if value is not NOTHING}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.values:
            return self.values[name]
        if name in self.source.get("Resources", {}):
            return f"<{name}>"
        raise AssertionError(f"Ref to {name}, which is nothing")

    def condition(self, name: str) -> bool:
        return bool(self(self.source["Conditions"][name]))

    def _sub(self, value: Any) -> str:
        text, own = (value, {}) if isinstance(value, str) else (value[0], self(value[1]))

        def replaced(match: re.Match[str]) -> str:
            name = match.group(1)
            if name in own:
                return str(own[name])
            return f"<{name}>" if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", replaced, text)

    def _map(self, value: Any) -> Any:
        name, first, second = (self(each) for each in value)
        return self.source["Mappings"][name][first][second]

    def _import(self, value: Any) -> str:
        name = str(self(value))
        self.imports.add(name)
        return f"<import {name}>"

    def _if(self, value: Any) -> Any:
        return self(value[1] if self.condition(value[0]) else value[2])

    def _get(self, value: Any) -> str:
        if value[0] not in self.source["Resources"]:
            raise AssertionError(f"GetAtt of {value[0]}, which is nothing")
        return f"<{'.'.join(value)}>"

    _functions: Mapping[str, Callable[..., Any]] = field(
        init=False,
        default_factory=lambda: {
            "Fn::Sub": _Evaluator._sub,
            "Fn::FindInMap": _Evaluator._map,
            "Fn::ImportValue": _Evaluator._import,
            "Fn::If": _Evaluator._if,
            "Fn::GetAtt": _Evaluator._get,
            "Fn::Equals": lambda self, value: self(value[0]) == self(value[1]),
            "Fn::Not": lambda self, value: not self(value[0]),
            "Fn::And": lambda self, value: all(self(each) for each in value),
            "Fn::Or": lambda self, value: any(self(each) for each in value),
            "Fn::Contains": lambda self, value: self(value[1]) in self(value[0]),
            "Fn::Join": lambda self, value: value[0].join(map(str, self(value[1]))),
        },
    )


def decided(source: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """Return a template whose conditions have been decided: without `Fn::If`, and without AWS::NoValue."""
    declared = source.get("Parameters", {})
    evaluate = _Evaluator(source, {name: each.get("Default") for name, each in declared.items()} | parameters)

    def chosen(node: Any) -> Any:
        if node == {"Ref": "AWS::NoValue"}:
            return NOTHING
        if isinstance(node, list):
            return [each for each in map(chosen, node) if each is not NOTHING]
        if not isinstance(node, dict):
            return node
        if node.keys() == {"Fn::If"}:
            name, if_true, if_false = node["Fn::If"]
            return chosen(if_true if evaluate.condition(name) else if_false)
        return {key: value for key, each in node.items() if (value := chosen(each)) is not NOTHING}

    return source | {"Resources": chosen(source["Resources"])}


def resolve(source: Mapping[str, Any], **parameters: Any) -> Stack:
    """Return what a template comes to. Raises AssertionError for parameters that are missing, unknown or not allowed."""
    declared = source.get("Parameters", {})
    assert parameters.keys() <= declared.keys(), f"no such parameters: {parameters.keys() - declared.keys()}"
    values = {name: each["Default"] for name, each in declared.items() if "Default" in each} | parameters
    assert declared.keys() <= values.keys(), f"parameters without a value: {declared.keys() - values.keys()}"
    for name, value in values.items():
        allowed, pattern = declared[name].get("AllowedValues"), declared[name].get("AllowedPattern")
        assert allowed is None or value in allowed, f"{name} cannot be {value!r}"
        assert pattern is None or re.fullmatch(pattern, str(value)), f"{name} cannot be {value!r}"
    evaluate = _Evaluator(source, values)
    refusals = [
        each["AssertDescription"]
        for rule in source.get("Rules", {}).values()
        if evaluate(rule.get("RuleCondition", {"Fn::Equals": [1, 1]}))
        for each in rule["Assertions"]
        if not evaluate(each["Assert"])
    ]
    resources = {
        name: evaluate({key: value for key, value in each.items() if key != "Condition"})
        for name, each in source["Resources"].items()
        if "Condition" not in each or evaluate.condition(each["Condition"])
    }
    exports = {
        evaluate(each["Export"]["Name"]): evaluate(each["Value"])
        for each in source.get("Outputs", {}).values()
        if "Export" in each and ("Condition" not in each or evaluate.condition(each["Condition"]))
    }
    return Stack(resources, exports, evaluate.imports, refusals)
