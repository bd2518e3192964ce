"""The dashboards are what their code makes."""

from __future__ import annotations

import dataclasses
import json

from deploy.monitoring.grafana.boards.orders import ORDERS
from deploy.monitoring.grafana.build import BOARDS, FOLDER, files
from deploy.monitoring.grafana.model import Colour, Kind, Panel, Row, one
from deploy.monitoring.grafana.render import render


def test_every_file_is_what_make_dashboards_writes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == files()


def test_a_change_of_the_code_is_seen() -> None:
    changed = dataclasses.replace(ORDERS, title="Another")

    assert render(changed) != (FOLDER / "orders.json").read_text(encoding="utf-8")


def test_the_same_board_is_the_same_file() -> None:
    assert [render(board) for board in BOARDS] == [render(board) for board in BOARDS]


def test_no_dashboard_lost_a_query_on_the_way() -> None:
    for board in BOARDS:
        shown = json.loads(render(board))["panels"]
        asked = [target["expr"] for panel in shown for target in panel.get("targets", ())]
        assert asked == [query.expr for row in board.rows for panel in row.panels for query in panel.queries]


def test_colours_turn_where_the_panel_says() -> None:
    def steps(**limits: float) -> list[tuple[float | None, str]]:
        panel = Panel("T", "D.", "", one("up", "x"), Kind.LINES, **limits)  # type: ignore[arg-type]
        board = dataclasses.replace(ORDERS, rows=(Row("R", (panel,)),))
        (shown,) = [each for each in json.loads(render(board))["panels"] if each["type"] != "row"]
        return [(each["value"], each["color"]) for each in shown["fieldConfig"]["defaults"]["thresholds"]["steps"]]

    assert steps() == [(None, Colour.GREEN)]
    assert steps(worry=1) == [(None, Colour.GREEN), (1, Colour.RED)]
    assert steps(worry=1, alarm=2) == [(None, Colour.GREEN), (1, Colour.YELLOW), (2, Colour.RED)]
    # Downwards: less is worse.
    assert steps(worry=0.99, alarm=0.9) == [(None, Colour.RED), (0.9, Colour.YELLOW), (0.99, Colour.GREEN)]
