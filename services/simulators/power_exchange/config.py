"""Settings of the simulated power exchange."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field, field_validator, model_validator

from services.runtime.settings import CommaList, ProcessSettings, Switch
from services.simulators.power_exchange.faults import parse_faults
from services.simulators.power_exchange.script import Kind, ScriptOptions

PORT: Final = 5050
_OWN: Final = "MIDSTREAM_SIM_POWER_EXCHANGE_"


class PowerExchangeSettings(ProcessSettings):
    """One object, read once."""

    simulates: ClassVar[bool] = True

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias=f"{_OWN}PORT")
    seed: int = Field(default=ScriptOptions.seed, validation_alias=f"{_OWN}SEED")
    """The same seed gives the same deals."""
    gap_min_s: float = Field(default=5.0, ge=0, le=3600, validation_alias=f"{_OWN}GAP_MIN_S")
    """Lower bound of the seconds between two deals."""
    gap_max_s: float = Field(default=10.0, ge=0, le=3600, validation_alias=f"{_OWN}GAP_MAX_S")
    """Upper bound of the same; 0.006 in both is 10,000 deals a minute."""
    burst: int = Field(default=3, ge=0, le=500_000, validation_alias=f"{_OWN}BURST")
    """Deals that are on the list already at the start, so that nobody waits ten seconds in front of an empty page."""
    traders: CommaList = Field(default=ScriptOptions.traders, min_length=1, validation_alias=f"{_OWN}TRADERS")
    """Who deals, comma-separated."""
    gate_lead_s: float = Field(default=0.0, ge=0, le=86_400, validation_alias=f"{_OWN}GATE_LEAD_S")
    """Seconds before delivery at which an hour closes."""
    quarter_share: float = Field(default=0.25, ge=0, le=1, validation_alias=f"{_OWN}QUARTER_SHARE")
    """Part of the deals that are for a quarter of an hour, such as 22:00-22:15."""
    markets: CommaList = Field(default=(), validation_alias=f"{_OWN}MARKETS")
    """Markets that deals name, comma-separated; empty: they name none."""
    revision_share: float = Field(default=0.02, ge=0, le=1, validation_alias=f"{_OWN}REVISION_SHARE")
    """Part of the messages that correct or cancel an earlier deal."""
    kind: Kind = Field(default="deal_confirmation", validation_alias=f"{_OWN}KIND")
    """The messages' kind, as they name it themselves."""
    replay: Switch = Field(default=True, validation_alias=f"{_OWN}REPLAY")
    """Off: a plain feed; what a client was not there for is lost to it."""
    faults: str = Field(default="", validation_alias=f"{_OWN}FAULTS")
    """What goes wrong, for tests: name=count,..."""

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, value: str) -> str:
        parse_faults(value)
        return value

    @model_validator(mode="after")
    def _check_gaps(self) -> PowerExchangeSettings:
        if self.gap_min_s > self.gap_max_s:
            raise ValueError(f"gap_min_s ({self.gap_min_s}) has to be at most gap_max_s ({self.gap_max_s})")
        return self

    def script_options(self) -> ScriptOptions:
        """Return what the deals are like."""
        return ScriptOptions(
            seed=self.seed,
            gap_min_s=self.gap_min_s,
            gap_max_s=self.gap_max_s,
            traders=self.traders,
            gate_lead_s=self.gate_lead_s,
            kind=self.kind,
            quarter_share=self.quarter_share,
            revision_share=self.revision_share,
            markets=self.markets,
        )
