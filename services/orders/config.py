"""Settings of the orders server. Everything that could cost money is off, or has a limit, unless somebody says otherwise."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, ValidationInfo, field_validator, model_validator

from clients.database import DatabaseUrl
from clients.exchanges.bases import Environment
from clients.exchanges.names import EXCHANGES, USED_BY_DEFAULT, check_open, used_by_default
from services.orders.domain import TradingMode
from services.orders.guards.limits import Limits
from services.runtime.settings import CommaList, OptionalPort, RedisSettings, Switch

ENVIRONMENT_OF: dict[TradingMode, Environment | None] = {
    TradingMode.DRY_RUN: None,
    TradingMode.SIMULATOR: Environment.SIMULATOR,
    TradingMode.TESTNET: Environment.TESTNET,
    TradingMode.LIVE: Environment.PROD,
}
"""Which exchanges a mode is for; dry-run takes prices from any, and sends to none."""


class OrdersSettings(RedisSettings):
    """Settings of the orders server; read once at start."""

    port: int = Field(default=50055, ge=0, le=65535, validation_alias="MIDSTREAM_ORDERS_PORT")
    metrics_port: int = Field(default=9155, ge=0, le=65535, validation_alias="MIDSTREAM_ORDERS_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_ORDERS_ADMIN_PORT")
    web_port: int = Field(default=8080, ge=0, le=65535, validation_alias="MIDSTREAM_ORDERS_WEB_PORT")
    """Where the REST face listens."""

    grpc_streams_per_connection: int = Field(default=128, ge=1, le=60_000)
    """Calls at once on one connection: twice the placements that there may be without an outcome, so that cancels find a place beside
    them. Few, because all of them come at once when a flood begins; what is too much is refused by the library, which costs a tenth."""

    trading: Literal["dry-run", "simulator", "testnet", "live"] = Field(
        default="dry-run", validation_alias="MIDSTREAM_TRADING"
    )
    """`dry-run` validates and journals, and never sends; `live` needs keys and limits too."""

    exchanges: Literal["simulator", "testnet", "prod"] = Field(
        default="simulator", validation_alias="MIDSTREAM_EXCHANGES"
    )
    """Which exchanges the clients talk to; has to fit `trading`."""

    venues: CommaList = Field(default=USED_BY_DEFAULT, validation_alias="MIDSTREAM_ORDERS_EXCHANGES")
    """Exchanges in use, in the order in which `ANY` tries them; without it, testnet and prod leave out exchanges that have
    closed; named there, they are refused. Known is not used: a new one has to be named before it is traded on."""

    symbols: CommaList = Field(default=(), validation_alias="MIDSTREAM_ORDERS_SYMBOLS")
    """Unified symbols that reconciliation looks at although nothing was traded in them yet."""

    database_url: DatabaseUrl = Field(
        default="sqlite:///var/orders.db",
        repr=False,
        validation_alias=AliasChoices("MIDSTREAM_ORDERS_DATABASE_URL", "MIDSTREAM_DATABASE_URL"),
    )
    """The journal, in tables of its own beside the power desk's; the first variable wins and keeps the two in databases of their own."""

    redis_url: str = Field(default="", repr=False, validation_alias="MIDSTREAM_REDIS_URL")
    """Where limits are shared with other processes; empty keeps them in this one."""

    kill_file: Path | None = Field(default=None, validation_alias="MIDSTREAM_ORDERS_KILL_FILE")
    """While this file exists nothing new goes out; by default `orders-kill-switch` in MIDSTREAM_OUT."""

    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Files that are not the journal."""

    dead_man: Switch = Field(default=True, validation_alias="MIDSTREAM_ORDERS_DEAD_MAN")
    """Let exchanges cancel our open orders when this process is gone for a minute, where they can."""

    reconcile_s: float = Field(default=30.0, ge=1.0, le=300.0, validation_alias="MIDSTREAM_ORDERS_RECONCILE_S")
    """Seconds between two comparisons of orders, executions and positions with the exchange."""

    notional_max: Decimal | None = Field(default=None, gt=0, validation_alias="MIDSTREAM_ORDERS_NOTIONAL_MAX")
    """Largest value of one order, in quote currency."""

    position_max: Decimal | None = Field(default=None, gt=0, validation_alias="MIDSTREAM_ORDERS_POSITION_MAX")
    """Largest position in one instrument, in quote currency, with everything open executed."""

    quantity_max: CommaList = Field(default=(), validation_alias="MIDSTREAM_ORDERS_QUANTITY_MAX")
    """Largest quantity of one order, as `SYMBOL=QUANTITY, ...`, in the instrument's unit."""

    open_orders_max: int = Field(default=1000, ge=1, validation_alias="MIDSTREAM_ORDERS_OPEN_MAX")
    """Most open orders, of everybody together."""
    orders_per_second: float = Field(default=50.0, gt=0, le=10_000, validation_alias="MIDSTREAM_ORDERS_PER_SECOND")
    """New orders per second, of everybody together."""
    price_band: Decimal = Field(default=Decimal("0.05"), gt=0, le=1, validation_alias="MIDSTREAM_ORDERS_PRICE_BAND")
    """How far a LIMIT price may be from the market, as a fraction."""

    price_age_max_s: float = Field(default=5.0, gt=0, le=60, validation_alias="MIDSTREAM_ORDERS_PRICE_AGE_MAX_S")
    """Orders are denied when the newest price of their instrument is older."""
    loss_max: Decimal | None = Field(default=None, gt=0, validation_alias="MIDSTREAM_ORDERS_LOSS_MAX")
    """Loss since the start, in quote currency, at which the kill switch is thrown; none by default."""

    stale_kill_s: float = Field(default=0.0, ge=0, le=3600, validation_alias="MIDSTREAM_ORDERS_STALE_KILL_S")
    """Throw the kill switch when an instrument with open orders has had no usable price for this long; 0 does not."""

    calls_per_second: float = Field(default=100.0, gt=0, le=100_000, validation_alias="MIDSTREAM_ORDERS_KEY_RATE")
    """Calls per second of one API key; a burst may use two seconds' worth at once."""

    docs: Switch = Field(default=True, validation_alias="MIDSTREAM_ORDERS_DOCS")
    """Serve the OpenAPI description; off hides it."""

    @property
    def mode(self) -> TradingMode:
        """The trading mode."""
        return TradingMode(self.trading)

    @property
    def exchanges_used(self) -> tuple[str, ...]:
        """Exchanges in use: those named, or those that are there in this environment."""
        return self.venues if "venues" in self.model_fields_set else used_by_default(self.exchanges)

    @property
    def limits(self) -> Limits:
        """Limits of orders."""
        return Limits(
            notional_max=self.notional_max,
            position_max=self.position_max,
            quantity_max=_quantities(self.quantity_max),
            open_orders_max=self.open_orders_max,
            orders_per_second=self.orders_per_second,
            price_band=self.price_band,
            price_age_max_s=self.price_age_max_s,
        )

    @property
    def authenticates(self) -> bool:
        """Always: orders take keys, whatever MIDSTREAM_AUTH adds."""
        return True

    @field_validator("venues")
    @classmethod
    def _check_venues(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        unknown = [name for name in value if name not in EXCHANGES]
        if unknown or not value:
            raise ValueError(f"must name some of {', '.join(EXCHANGES)}")
        check_open(value, info.data.get("exchanges", "simulator"))
        return value

    @field_validator("quantity_max")
    @classmethod
    def _check_quantities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _quantities(value)
        return value

    @model_validator(mode="after")
    def _check_mode(self) -> OrdersSettings:
        wanted = ENVIRONMENT_OF[self.mode]
        if wanted is not None and wanted.value != self.exchanges:
            raise ValueError(
                f"MIDSTREAM_TRADING={self.trading} needs MIDSTREAM_EXCHANGES={wanted.value}, which is {self.exchanges}"
            )
        missing = self.limits.missing_for_live if self.mode is TradingMode.LIVE else ()
        if missing:
            raise ValueError(f"MIDSTREAM_TRADING=live needs limits: set {' and '.join(missing)}")
        return self


def _quantities(pairs: tuple[str, ...]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for pair in pairs:
        symbol, separator, text = pair.partition("=")
        try:
            quantity = Decimal(text)
        except InvalidOperation:
            quantity = Decimal(0)
        if not separator or not symbol.strip() or not quantity.is_finite() or quantity <= 0:
            raise ValueError(
                f"must be SYMBOL=QUANTITY pairs like BTC/USDT=0.5, separated by commas ({pair[:64]!r} is none)"
            )
        found[symbol.strip()] = quantity
    return found
