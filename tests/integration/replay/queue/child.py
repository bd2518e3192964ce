"""A producer in a process of its own: publishes until the stream holds `count` batches, exits like the engine would."""

from __future__ import annotations

import sys
from dataclasses import replace

from services.replay.queue import Fenced, SessionTaken
from tests.integration.replay.queue.harness import CHECKPOINT, producing

FENCED, TAKEN = 7, 2


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(url: str, session: str, count: int) -> int:
    try:
        with producing(url, session, seed=0) as producer:
            say(f"adopted {producer.next}")
            while producer.next <= 10 * count:
                checkpoint = replace(CHECKPOINT, sequence=producer.next + 9)
                producer.publish(checkpoint=checkpoint if producer.next % 30 == 1 else None)
            producer.publisher.save(replace(CHECKPOINT, sequence=producer.next - 1))
    except Fenced as exc:
        say(str(exc))
        return FENCED
    except SessionTaken as exc:
        say(str(exc))
        return TAKEN
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
