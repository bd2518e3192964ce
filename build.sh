#!/bin/sh
# Start the outside world of the power desk: the exchange (websocket, port 5050) and the market data provider (HTTP, port 5060).
# Builds what is missing first, listens on all addresses, ends both on Ctrl-C. Options are environment variables, see docs/power_desk.md.
set -eu
cd "$(dirname "$0")"

host=${MIDSTREAM_HOST:-0.0.0.0}
exchange_port=${MIDSTREAM_SIM_POWER_EXCHANGE_PORT:-5050}
market_port=${MIDSTREAM_SIM_MARKET_DATA_PORT:-5060}
export MIDSTREAM_HOST="$host" MIDSTREAM_LOG_FORMAT="${MIDSTREAM_LOG_FORMAT:-console}" MIDSTREAM_LOG_LEVEL="${MIDSTREAM_LOG_LEVEL:-warning}"
unset MIDSTREAM_READY_FILE

make --no-print-directory build-ext

children=
finish() {
    trap - EXIT INT TERM
    for child in $children; do
        kill -TERM "$child" 2>/dev/null || true
    done
    wait
    exit "$1"
}
trap 'finish $?' EXIT
trap 'finish 130' INT
trap 'finish 143' TERM

.venv/bin/python -P -m services.simulators.power_exchange </dev/null &
exchange=$!
children=$exchange
.venv/bin/python -P -m services.simulators.market_data </dev/null &
market=$!
children="$exchange $market"

cat <<BANNER

  power exchange   ws://127.0.0.1:$exchange_port        deals as they are made; http://127.0.0.1:$exchange_port says more
  market data      http://127.0.0.1:$market_port/reference-price?delivery_day=$(date +%F)&delivery_hour=23-24
  both listen on $host; Ctrl-C ends them

BANNER

# The first one that ends, for whatever reason, takes the other with it.
while kill -0 "$exchange" 2>/dev/null && kill -0 "$market" 2>/dev/null; do
    sleep 1
done
status=0
kill -0 "$exchange" 2>/dev/null || wait "$exchange" || status=$?
kill -0 "$market" 2>/dev/null || wait "$market" || status=$?
finish "$status"
