"""Write the dashboards: `python -m deploy.monitoring.grafana.build`, which `make dashboards` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.monitoring.grafana.boards.exchanges import EXCHANGES
from deploy.monitoring.grafana.boards.orders import ORDERS
from deploy.monitoring.grafana.boards.power import POWER
from deploy.monitoring.grafana.boards.queue import QUEUE
from deploy.monitoring.grafana.boards.replay import REPLAY
from deploy.monitoring.grafana.boards.service import SERVICE
from deploy.monitoring.grafana.render import render

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
BOARDS: Final = (SERVICE, REPLAY, QUEUE, EXCHANGES, ORDERS, POWER)


def files() -> dict[str, str]:
    """Return what the folder has to hold, by name."""
    return {f"{board.name}.json": render(board) for board in BOARDS}


def main() -> None:
    """Write every dashboard, and remove what no board makes any more."""
    FOLDER.mkdir(exist_ok=True)
    made = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
