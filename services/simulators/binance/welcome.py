"""The text that the simulator shows about itself: on the terminal, and at `GET /`."""

from __future__ import annotations

from textwrap import indent

from services.simulators.binance.exchange import DEMO_ED25519, DEMO_SEED
from services.simulators.venue.clearing import Account
from services.simulators.venue.ed25519 import pem


def welcome_text(base_url: str, account: Account) -> str:
    """Return addresses, keys, and a line to paste."""
    ws = base_url.replace("http", "ws", 1)
    return f"""\
Simulated Binance. Nothing here is real; keys and balances are for trying things out.

  spot     {base_url}/api/v3     streams {ws}/ws  {ws}/stream
  USD-M    {base_url}/fapi/v1    streams {ws}/fstream/public  /market  /private, or /fstream/all
  COIN-M   {base_url}/dapi/v1    streams {ws}/dstream
  ws-api   {ws}/ws-api/v3  {ws}/ws-fapi/v1  {ws}/ws-dapi/v1
  ccxt.pro {ws.replace("//", "//stream@")}/ws  for spot, which it tells by `/stream` in the address
  key      {account.api_key}
  secret   {account.secret}
  Ed25519  key {DEMO_ED25519.api_key}, for clients that sign with it (session.logon takes no other):
{indent(pem(DEMO_SEED), "           ").rstrip()}
  admin    {base_url}/sim          what really happened, and the faults

Try:
  curl '{base_url}/api/v3/ticker/bookTicker?symbol=BTCUSDT'
  Q="symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&timestamp=$(date +%s000)"; \\
  S=$(printf %s "$Q" | openssl dgst -sha256 -hmac {account.secret} | sed 's/.* //'); \\
  curl -X POST -H 'X-MBX-APIKEY: {account.api_key}' "{base_url}/api/v3/order?$Q&signature=$S"
  curl -X PUT {base_url}/sim/faults -d 'lose@POST /api/v3/order,count=1'    # the next order's answer gets lost
"""
