"""Positions, wallet, fees, and the switches of an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.bybit.call import Call, Reply, Route
from services.simulators.bybit.errors import BybitError, parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.instrument_rows import LEVERAGE_MAX
from services.simulators.bybit.listings import LINEAR, OPTION, PURSE, SPOT
from services.simulators.bybit.order_reading import LEGS
from services.simulators.bybit.render import position_row
from services.simulators.bybit.spelling import plain
from services.simulators.bybit.wallets import wallet_row
from services.simulators.venue.listing import Listing

OPENED_MS: Final = 1_697_078_946_000
MARGIN_MODES: Final = ("REGULAR_MARGIN", "ISOLATED_MARGIN")
PORTFOLIO_REFUSED: Final = {
    "reasonCode": "3400000",
    "reasonMsg": "Equity needs to be equal to or greater than 1000 USDC",
}
UTA_2: Final = 5
"""`unifiedMarginStatus` of a unified account of the second kind."""


class AccountRoutes:
    """What belongs to the account."""

    def __init__(self, venue: BybitExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/v5/position/list"): Route(self.positions, signed=True),
            ("POST", "/v5/position/set-leverage"): Route(self.set_leverage, signed=True, right="order"),
            ("POST", "/v5/position/switch-mode"): Route(self.switch_mode, signed=True, right="order"),
            ("GET", "/v5/account/info"): Route(self.info, signed=True),
            ("POST", "/v5/account/set-margin-mode"): Route(self.set_margin_mode, signed=True, right="order"),
            ("GET", "/v5/account/wallet-balance"): Route(self.wallet, signed=True),
            ("GET", "/v5/account/fee-rate"): Route(self.fee_rate, signed=True),
            ("GET", "/v5/account/user-setting-config"): Route(self.settings, signed=True),
            ("POST", "/v5/account/set-limit-px-action"): Route(self.set_limit_action, signed=True, right="order"),
            ("GET", "/v5/account/query-dcp-info"): Route(self.dead_man, signed=True),
            ("POST", "/v5/order/disconnected-cancel-all"): Route(self.arm, signed=True, right="order"),
            ("GET", "/v5/user/query-api"): Route(self.key, signed=True),
            ("GET", "/v5/asset/coin/query-info"): Route(self.coins, signed=True),
        }

    # -- positions ------------------------------------------------------------------------------------------------

    async def positions(self, call: Call) -> Any:
        """List positions; asked for by its symbol, one that is flat has its row as well, or two in hedge mode."""
        venue, category = self._venue, call.category
        if category == SPOT:
            raise parameter("params error: Category is invalid")
        symbol, settle, base = call.get("symbol"), call.get("settleCoin"), call.get("baseCoin")
        if category == LINEAR and symbol is None and settle is None:
            raise parameter("params error: Missing some parameters that must be filled in, symbol or settleCoin")
        if symbol is not None and category != OPTION:
            rows = self.position_rows(call.owner, venue.listing(category, symbol))
        else:
            held = {place for place, _, _ in venue.clearing.holdings[call.owner].held() if place[0] == category}
            listings = [listing for place, listing in venue.listings.items() if place in held]
            rows = [
                row
                for listing in listings
                if settle in (None, listing.settle) and base in (None, listing.base)
                for row in self.position_rows(call.owner, listing)
                if row["side"]
            ]
        limit = call.number("limit", 20, most=200)
        return {"list": rows[:limit], "nextPageCursor": "", "category": category}

    def position_rows(self, owner: str, listing: Listing) -> list[dict[str, Any]]:
        """Return the row of a listing, or the two of a hedged one."""
        venue = self._venue
        holdings, mark = venue.clearing.holdings[owner], venue.liquidity.mark(listing)
        return [
            position_row(
                listing,
                holdings.position(listing, LEGS[index]),
                mark,
                leverage=venue.clearing.leverage(owner, listing),
                index=index,
                number=venue.sightings.number,
                shown=venue.shown_ms,
            )
            for index in ((1, 2) if venue.is_hedged(owner, listing) else (0,))
        ]

    async def set_leverage(self, call: Call) -> Any:
        """Choose how many times its margin a position may be worth, the same for both sides."""
        venue, listing = self._venue, self._venue.listing(call.category, call.get("symbol"))
        buys, sells = call.decimal("buyLeverage"), call.decimal("sellLeverage")
        if listing.market == SPOT or buys is None or buys != sells:
            raise parameter("buyLeverage and sellLeverage must be the same")
        if not 1 <= buys <= LEVERAGE_MAX:
            raise BybitError(110013, "cannot set leverage gt maxLeverage by risk limit")
        if buys == venue.clearing.leverage(call.owner, listing):
            raise BybitError(110043, "leverage not modified")
        venue.clearing.holdings[call.owner].leverages[listing.market, listing.symbol] = buys
        return {}

    async def switch_mode(self, call: Call) -> Any:
        """Keep buys and sells of perpetuals apart (3), or not (0); not while there is something open."""
        venue, category = self._venue, call.category
        mode, symbol, coin = call.number("mode", -1, least=-1), call.get("symbol"), call.get("coin")
        if mode not in (0, 3):
            raise parameter("params error: mode invalid")
        if category != LINEAR or (coin is not None and coin != "USDT"):
            raise BybitError(10001, "the account does not support hedge mode for this category")
        if symbol is None and coin is None:
            raise parameter("params error: symbol or coin is required")
        touched = (
            [venue.listing(category, symbol)]
            if symbol
            else [one for one in venue.listings.values() if one.settle == coin]
        )
        switches = venue.switches(call.owner)
        if all(venue.is_hedged(call.owner, one) is (mode == 3) for one in touched if self._can_hedge(one)):
            if symbol is None:
                # For a coin as a whole it may be said again and again: bots do, whenever they start.
                return {}
            raise BybitError(110025, "Position mode is not modified")
        if any(self._is_busy(call.owner, one) for one in touched if one.market == LINEAR):
            raise BybitError(110024, "You have an existing position, so the position mode cannot be switched")
        if symbol is None:
            switches.hedge_all = mode == 3
            switches.hedge.clear()
        elif mode == 3:
            switches.hedge.add(symbol)
        else:
            switches.hedge.discard(symbol)
        return {}

    def _can_hedge(self, listing: Listing) -> bool:
        return listing.market == LINEAR and listing.settle == "USDT" and listing.expiry_ns is None

    def _is_busy(self, owner: str, listing: Listing) -> bool:
        venue = self._venue
        if any(place == (listing.market, listing.symbol) for place, _, _ in venue.clearing.holdings[owner].held()):
            return True
        return bool(venue.engine.book.open_of(owner, listing.market, listing.symbol))

    # -- account --------------------------------------------------------------------------------------------------

    async def info(self, call: Call) -> Any:
        """Tell what kind of account it is."""
        return {
            "marginMode": self._venue.switches(call.owner).margin_mode,
            "updatedTime": str(OPENED_MS),
            "unifiedMarginStatus": UTA_2,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    async def set_margin_mode(self, call: Call) -> Any:
        """Choose the margin of the whole account; that of a portfolio is for accounts that ask for it."""
        mode = call.get("setMarginMode")
        if mode == "PORTFOLIO_MARGIN":
            raise BybitError(3400045, "Set margin mode failed", result={"reasons": [PORTFOLIO_REFUSED]})
        if mode not in MARGIN_MODES:
            raise parameter("params error: setMarginMode invalid")
        self._venue.switches(call.owner).margin_mode = mode
        return {"reasons": []}

    async def wallet(self, call: Call) -> Any:
        """Tell the balances."""
        if call.get("accountType") != "UNIFIED":
            raise parameter("accountType only support UNIFIED.")
        coins = tuple(filter(None, (call.get("coin") or "").split(",")))
        return {"list": [wallet_row(self._venue, call.owner, coins)]}

    async def fee_rate(self, call: Call) -> Any:
        """Tell the fees."""
        category, symbol = call.category, call.get("symbol")
        listings = [
            one for (market, name), one in self._venue.listings.items() if market == category and symbol in (None, name)
        ]
        return {
            "category": category,
            "list": [
                {
                    "symbol": one.symbol,
                    "baseCoin": "",
                    "takerFeeRate": plain(one.taker_fee),
                    "makerFeeRate": plain(one.maker_fee),
                }
                for one in listings
            ],
        }

    async def settings(self, call: Call) -> Any:
        """Tell what becomes of prices beyond the limit: mind that the two say it in opposite senses."""
        switches = self._venue.switches(call.owner)
        return {
            "lpaSpot": switches.spot_adjusts,
            "lpaPerp": switches.futures_reject,
            "deltaEnable": False,
            "smsef": 0,
            "fmsef": 0,
        }

    async def set_limit_action(self, call: Call) -> Any:
        """Set it: `modifyEnable` lets the exchange move prices."""
        category, given = call.category, call.get("modifyEnable")
        if given not in ("true", "false") or category == OPTION:
            raise parameter("params error: modifyEnable invalid")
        switches = self._venue.switches(call.owner)
        if category == SPOT:
            switches.spot_adjusts = given == "true"
        else:
            switches.futures_reject = given == "false"
        return {}

    async def dead_man(self, call: Call) -> Any:
        """Tell the dead man's switch: an account that is no institution's has none."""
        return Reply({"dcpInfos": []}, message="success")

    async def arm(self, call: Call) -> Any:
        """Refuse the dead man's switch, as the exchange does."""
        raise BybitError(10005, "Permission denied, please check your API key permissions.")

    # -- key and coins --------------------------------------------------------------------------------------------

    async def key(self, call: Call) -> Any:
        """Tell what the key may do."""
        account = call.account
        assert account is not None
        trades = "order" in account.rights
        return Reply(
            {
                "id": "13770661",
                "note": account.name,
                "apiKey": account.api_key,
                "readOnly": 0 if trades else 1,
                "secret": "",
                "permissions": {
                    "ContractTrade": ["Order", "Position"] if trades else [],
                    "Spot": ["SpotTrade"] if trades else [],
                    "Wallet": [],
                    "Options": [],
                    "Derivatives": ["DerivativesTrade"] if trades else [],
                    "CopyTrading": [],
                    "BlockTrade": [],
                    "Exchange": [],
                    "NFT": [],
                    "Affiliate": [],
                },
                "ips": ["*"],
                "type": 1,
                "deadlineDay": 66,
                "expiredAt": "2099-12-31T00:00:00Z",
                "createdAt": "2022-10-16T02:24:40Z",
                "unified": 0,
                "uta": 1,
                "userID": 24_617_703,
                "inviterID": 0,
                "vipLevel": "No VIP",
                "mktMakerLevel": "0",
                "affiliateID": 0,
                "rsaPublicKey": "",
                "isMaster": True,
                "parentUid": "0",
                "kycLevel": "LEVEL_DEFAULT",
                "kycRegion": "",
            },
            message="",
        )

    async def coins(self, call: Call) -> Any:
        """List the coins; nothing can be sent anywhere."""
        wanted = call.get("coin")
        coins = [asset for purse, asset in self._venue.clearing.deposits if purse == PURSE and wanted in (None, asset)]
        return {"rows": [{"name": coin, "coin": coin, "remainAmount": "0", "chains": []} for coin in coins]}
