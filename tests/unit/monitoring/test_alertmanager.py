"""Alertmanager's file: every alert has a receiver, every name in an inhibition is an alert's, no secret stands in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.rules import MONITORING, Rule, alerts

CONFIG: dict[str, Any] = yaml.safe_load((MONITORING / "alertmanager.yml").read_text(encoding="utf-8"))
RECEIVERS = {each["name"]: each for each in CONFIG["receivers"]}
_MATCHER = re.compile(r'^(\w+) *(=~|!=|!~|=) *"?([^"]*)"?$')


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Tell whether labels meet every matcher, as Alertmanager reads them."""
    for text in matchers:
        found = _MATCHER.match(text)
        assert found is not None, text
        name, operator, value = found.groups()
        have = labels.get(name, "")
        equal = re.fullmatch(value, have) is not None if "~" in operator else have == value
        if equal is operator.startswith("!"):
            return False
    return True


def receiver(labels: dict[str, str]) -> str:
    """Return who is told of an alert."""
    for route in CONFIG["route"]["routes"]:
        if matches(route["matchers"], labels):
            return str(route["receiver"])
    return str(CONFIG["route"]["receiver"])


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in alerts()])
def test_an_alert_reaches_its_team_as_loud_as_it_is(rule: Rule) -> None:
    found = receiver({"alertname": rule.name, **rule.labels})

    assert found == f"{rule.labels['severity']}s-{rule.labels['team']}"
    assert found in RECEIVERS


def test_every_receiver_is_used_and_has_its_key_in_a_file() -> None:
    used = {receiver({"alertname": rule.name, **rule.labels}) for rule in alerts()}

    assert used == set(RECEIVERS)
    for name, each in RECEIVERS.items():
        (integration,) = [value[0] for key, value in each.items() if key.endswith("_configs")]
        files = {key: value for key, value in integration.items() if key.endswith("_file")}
        assert list(files.values()) == [f"secrets/{name}"]
        assert not {"routing_key", "service_key", "api_url", "url", "token", "password"} & set(integration)


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: rule["source_matchers"][0])
def test_an_inhibition_names_alerts_that_exist_and_never_silences_its_own_cause(rule: dict[str, Any]) -> None:
    names = {each.name for each in alerts()}
    sources = [each for each in alerts() if matches(rule["source_matchers"], {"alertname": each.name, **each.labels})]
    silenced = [each for each in alerts() if matches(rule["target_matchers"], {"alertname": each.name, **each.labels})]
    named = re.findall(r"[A-Z][A-Za-z]+", " ".join(rule["source_matchers"] + rule["target_matchers"]))

    assert set(named) <= names
    assert len(sources) == 1
    assert silenced
    assert sources[0] not in silenced


def test_no_page_is_silenced_by_a_ticket() -> None:
    for rule in CONFIG["inhibit_rules"]:
        for source in alerts():
            if source.labels["severity"] == "ticket":
                assert not matches(rule["source_matchers"], {"alertname": source.name, **source.labels}), source.name


def test_no_two_alerts_silence_each_other() -> None:
    pairs = {
        (source.name, target.name)
        for rule in CONFIG["inhibit_rules"]
        for source in alerts()
        for target in alerts()
        if matches(rule["source_matchers"], {"alertname": source.name, **source.labels})
        and matches(rule["target_matchers"], {"alertname": target.name, **target.labels})
    }

    assert [pair for pair in pairs if pair[::-1] in pairs and "ServerDown" not in pair] == []


def test_tickets_of_the_desk_and_pages_stay_apart() -> None:
    assert receiver({"severity": "page", "team": "desk"}) == "pages-desk"
    assert receiver({"severity": "ticket", "team": "desk"}) == "tickets-desk"
    assert receiver({"severity": "page"}) == "pages-ops"
    # An alert that somebody adds without a word about it is a ticket, and not lost.
    assert receiver({}) == "tickets-ops"
