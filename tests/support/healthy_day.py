"""A scrape carried on for a day: gauges stay, counters go on as fast as they have."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

STEP_MINUTES: Final = 2
STEPS: Final = 24 * 60 // STEP_MINUTES


def series_of_a_day(server: str, scrape: str, names: Set[str]) -> list[dict[str, str]]:
    """Return promtool's input for the samples called `names`, one every `STEP_MINUTES`."""
    address = f'job="midstream",server="{server}",instance="{server}:1"'
    found = [{"series": f"up{{{address}}}", "values": f"1x{STEPS}"}]
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            rises = family.type in ("counter", "histogram") and sample.value > 0
            # Counters of labels that nothing happened to are very many, and stay where they are.
            idle = family.type in ("counter", "histogram") and sample.labels and not sample.value
            if sample.name not in names or idle:
                continue
            labels = ",".join([address, *(f'{name}="{value}"' for name, value in sample.labels.items())])
            values = f"{sample.value}+{sample.value}x{STEPS}" if rises else f"{sample.value}x{STEPS}"
            found.append({"series": f"{sample.name}{{{labels}}}", "values": values})
    return found
