"""Read the ticks of a Midstream session straight from its queue.

    python external_consumer.py REDIS_URL [SESSION [GROUP [LAST_SEQUENCE]]]

Needs redis-py and the code generated from protos/common/v1/market.proto, nothing else. Run it as often as you like with
the same group: it continues where it stopped. Each group gets every tick, at its own speed.
"""

import sys
import time
from collections.abc import Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from protos.common.v1.market_pb2 import Marker, TickBatch

CONSUMER = "one"  # one fixed name: another name would not see what this one has not acknowledged yet


def connect(url: str) -> redis.Redis:
    # Without retries of its own: a repeated XREADGROUP would skip the entries whose answer got lost.
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=5, protocol=2)


def register(client: redis.Redis, stream: str, group: str) -> None:
    """Create the group: from now on the producer keeps, and waits for, what this group has not acknowledged."""
    try:
        client.xgroup_create(stream, group, id="0", mkstream=True)
    except redis.ResponseError as exc:
        if "BUSYGROUP" not in str(exc):  # it exists already, with its position
            raise


def entries(client: redis.Redis, stream: str, group: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Yield entries in order: first what was delivered to us and not acknowledged, then what is new."""
    position = "0"
    while True:
        answer = client.xreadgroup(group, CONSUMER, {stream: position}, count=16, block=2000)
        found = answer[0][1] if answer else []
        if position == ">":
            yield from found
        elif found:
            yield from found
            position = found[-1][0].decode()
        else:
            position = ">"  # nothing of ours is pending any more


def consume(url: str, session: str, group: str, last_sequence: int) -> None:
    stream = f"midstream:{{{session}/0}}:ticks"
    client = connect(url)
    epoch, seen = "", 0  # a consumer with results of its own stores these two together with them
    while True:
        try:
            register(client, stream, group)
            for entry_id, fields in entries(client, stream, group):
                if b"b" not in fields:
                    raise SystemExit(f"entry {entry_id.decode()} was trimmed before this group read it")
                batch = TickBatch.FromString(fields[b"b"])
                if batch.epoch != epoch:
                    epoch, seen = batch.epoch, batch.first_sequence - 1  # the numbering started over
                if batch.last_sequence > seen:  # else delivered again: known already
                    work_on(batch)
                    seen = batch.last_sequence
                client.xack(stream, group, entry_id)  # after the work: what is acknowledged is not delivered again
                if last_sequence and seen >= last_sequence:
                    return
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            # It restarts, or the network is down: begin again with what it delivered and we did not acknowledge.
            print(f"# waiting for Redis: {exc}", file=sys.stderr)
            time.sleep(1)


def work_on(batch: TickBatch) -> None:
    for marker in batch.markers:
        print(f"# {marker.sequence} {Marker.Kind.Name(marker.kind)} {marker.reason}".rstrip())
    for rejection in batch.rejections:
        print(f"# {rejection.sequence} rejected {rejection.source}:{rejection.line}: {rejection.reason}")
    for index, event_time_ns in enumerate(batch.event_time_ns):
        ticker = batch.tickers[batch.ticker_index[index]]
        print(event_time_ns, batch.arrival_time_ns[index], ticker, batch.bid_price[index], batch.ask_price[index])
    sys.stdout.flush()


if __name__ == "__main__":
    url, session, group, last_sequence = (sys.argv[1:] + ["default", "example", "0"][len(sys.argv) - 2 :])[:4]
    try:
        consume(url, session, group, int(last_sequence))
    except KeyboardInterrupt:
        sys.exit(130)
