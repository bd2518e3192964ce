"""The text that the simulator shows about itself: on the terminal, and at `GET /`."""

from __future__ import annotations

from services.simulators.venue.clearing import Account


def welcome_text(base_url: str, account: Account) -> str:
    """Return addresses, keys, and a line to paste."""
    ws = base_url.replace("http", "ws", 1)
    return f"""\
Simulated Bybit. Nothing here is real; keys and balances are for trying things out.

  REST      {base_url}/v5
  public    {ws}/v5/public/spot  (and linear, inverse)
  private   {ws}/v5/private
  orders    {ws}/v5/trade
  key       {account.api_key}
  secret    {account.secret}
  admin     {base_url}/sim          what really happened, and the faults

Try:
  curl '{base_url}/v5/market/tickers?category=linear&symbol=BTCUSDT'
  B='{{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01"}}'; T=$(date +%s000); \\
  S=$(printf %s "${{T}}{account.api_key}5000$B" | openssl dgst -sha256 -hmac {account.secret} | sed 's/.* //'); \\
  curl -X POST -H 'content-type: application/json' -H 'x-bapi-api-key: {account.api_key}' -H "x-bapi-timestamp: $T" \\
    -H 'x-bapi-recv-window: 5000' -H "x-bapi-sign: $S" -d "$B" {base_url}/v5/order/create
  curl -X PUT {base_url}/sim/faults -d 'error=server-timeout@POST /v5/order/create,executed=yes,count=3'
"""
