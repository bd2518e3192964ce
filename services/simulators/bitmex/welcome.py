"""The text that the simulator shows about itself: on the terminal, and at `GET /`."""

from __future__ import annotations

from services.simulators.venue.clearing import Account


def welcome_text(base_url: str, account: Account) -> str:
    """Return addresses, keys, and a line to paste."""
    ws = base_url.replace("http", "ws", 1)
    return f"""\
Simulated BitMEX. Nothing here is real; keys and balances are for trying things out.

  REST      {base_url}/api/v1
  realtime  {ws}/realtime
  key       {account.api_key}
  secret    {account.secret}
  admin     {base_url}/sim          what really happened, and the faults

Try:
  curl '{base_url}/api/v1/instrument?symbol=XBTUSD&columns=bidPrice,askPrice,lastPrice'
  B='{{"symbol":"XBTUSD","side":"Buy","orderQty":100,"ordType":"Market"}}'; E=$(( $(date +%s) + 60 )); \\
  S=$(printf %s "POST/api/v1/order$E$B" | openssl dgst -sha256 -hmac {account.secret} | sed 's/.* //'); \\
  curl -X POST -H 'content-type: application/json' -H 'api-key: {account.api_key}' -H "api-expires: $E" \\
    -H "api-signature: $S" -d "$B" {base_url}/api/v1/order
  curl -X PUT {base_url}/sim/faults -d 'error=overloaded@POST /api/v1/order,count=3'    # load shedding, three times
"""
