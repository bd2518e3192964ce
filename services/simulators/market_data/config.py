"""Settings of the simulated market data provider."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field, field_validator, model_validator

from services.runtime.settings import ProcessSettings, Switch
from services.simulators.market_data.faults import parse_faults
from services.simulators.market_data.provider import NoValue
from services.simulators.market_data.schedule import ScheduleOptions, Scope

PORT: Final = 5060
_OWN: Final = "MIDSTREAM_SIM_MARKET_DATA_"


class ProviderSettings(ProcessSettings):
    """One object, read once."""

    simulates: ClassVar[bool] = True

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias=f"{_OWN}PORT")
    seed: int = Field(default=ScheduleOptions.seed, validation_alias=f"{_OWN}SEED")
    """The same seed gives the same prices."""
    interval_s: int = Field(default=600, ge=1, le=86_400, validation_alias=f"{_OWN}INTERVAL_S")
    """Seconds between two publications; a shorter one shows new prices sooner to whoever tries things out."""
    phase_s: int = Field(default=0, ge=0, le=86_400, validation_alias=f"{_OWN}PHASE_S")
    """Seconds behind the full interval at which prices come out; consumers are not to assume 0."""
    delay_min_s: float = Field(default=0.0, ge=0, le=3_600, validation_alias=f"{_OWN}DELAY_MIN_S")
    """Lower bound of the random seconds by which a publication is late."""
    delay_max_s: float = Field(default=30.0, ge=0, le=3_600, validation_alias=f"{_OWN}DELAY_MAX_S")
    """Upper bound of the same."""
    scope: Scope = Field(default="all", validation_alias=f"{_OWN}SCOPE")
    """Whether a new price comes for all hours at once, for each day, or for each hour at its own time."""
    first_value_max_s: float = Field(default=7_200.0, ge=0, le=172_800, validation_alias=f"{_OWN}FIRST_VALUE_MAX_S")
    """An hour has its first price at a random time up to this after trading in it began."""
    gate_lead_s: float = Field(default=0.0, ge=0, le=86_400, validation_alias=f"{_OWN}GATE_LEAD_S")
    """Seconds before delivery at which an hour closes."""
    no_value: NoValue = Field(default="null", validation_alias=f"{_OWN}NO_VALUE")
    """How an hour without any deal looks: null, left out, or no such resource."""
    quota: Switch = Field(default=True, validation_alias=f"{_OWN}QUOTA")
    """Off: requests are counted and never refused."""
    per_minute: int = Field(default=50, ge=1, validation_alias=f"{_OWN}PER_MINUTE")
    """Requests per minute before they are refused."""
    per_hour: int = Field(default=1_000, ge=1, validation_alias=f"{_OWN}PER_HOUR")
    """Requests per hour before they are refused."""
    faults: str = Field(default="", validation_alias=f"{_OWN}FAULTS")
    """What goes wrong, for tests: kind@from-until:amount,... in seconds behind the start."""

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, value: str) -> str:
        parse_faults(value, 0)
        return value

    @model_validator(mode="after")
    def _check_delays(self) -> ProviderSettings:
        if self.delay_min_s > self.delay_max_s:
            raise ValueError(f"delay_min_s ({self.delay_min_s}) has to be at most delay_max_s ({self.delay_max_s})")
        return self

    def schedule_options(self) -> ScheduleOptions:
        """Return how the provider publishes."""
        return ScheduleOptions(
            seed=self.seed,
            interval_s=self.interval_s,
            phase_s=self.phase_s,
            delay_min_s=self.delay_min_s,
            delay_max_s=self.delay_max_s,
            scope=self.scope,
            first_value_max_s=self.first_value_max_s,
            gate_lead_s=self.gate_lead_s,
        )
