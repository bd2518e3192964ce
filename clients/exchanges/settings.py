"""Settings of the exchange clients: one variable chooses simulator, testnet or production for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from clients.exchanges.bases import Environment, MarketBases, Places


class ExchangeSettings(BaseSettings):
    """Where one exchange is, for all of its clients. The package of the exchange has a subclass that names its overrides.

    Production is reached only with `MIDSTREAM_EXCHANGES=prod`, spelled exactly so.
    """

    model_config = SettingsConfigDict(
        env_prefix="MIDSTREAM_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    places: ClassVar[Places]

    exchanges: Literal["simulator", "testnet", "prod"] = "simulator"
    """The simulators need no key and move no money."""

    @property
    def environment(self) -> Environment:
        """Which exchanges everything talks to."""
        return Environment(self.exchanges)

    def bases(self) -> Mapping[str, MarketBases]:
        """Return the base URLs by market, overrides applied and checked."""
        origin = self._override("url")
        bases = dict(self.places.bases(self.environment, simulator_origin=origin))
        for market, base in bases.items():
            # An exchange with one market has no market in its names, nor has one where all of them are in one place.
            prefix = "" if market == self.places.exchange else f"{market}_"
            bases[market] = replace(
                base,
                rest=self._override(f"{prefix}rest_url") or self._override("rest_url") or base.rest,
                stream=self._override(f"{prefix}stream_url", socket=True)
                or self._override("stream_url", socket=True)
                or base.stream,
                websocket_api=self._override(f"{prefix}websocket_api_url", socket=True) or base.websocket_api,
            )
        return bases

    @model_validator(mode="after")
    def _check_urls(self) -> ExchangeSettings:
        if self._value("url") and self.environment is not Environment.SIMULATOR:
            name = f"MIDSTREAM_{self.places.exchange.upper()}_URL"
            raise ValueError(f"{name} moves the simulator; it means nothing with MIDSTREAM_EXCHANGES={self.exchanges}")
        self.bases()
        return self

    def _override(self, name: str, *, socket: bool = False) -> str:
        url = self._value(name)
        if not url:
            return ""
        try:
            return self.places.checked_url(self.environment, url, socket=socket)
        except ValueError as exc:
            raise ValueError(f"MIDSTREAM_{self.places.exchange.upper()}_{name.upper()}: {exc}") from None

    def _value(self, name: str) -> str:
        return str(getattr(self, f"{self.places.exchange}_{name}", ""))
