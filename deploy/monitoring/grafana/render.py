"""From values to Grafana's JSON, by Grafana's own builders."""

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from deploy.monitoring.grafana.model import Board, Colour, Kind, Panel

HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
SERIES_POINTS: Final = 1000
"""More points than a screen has pixels only cost Prometheus time."""
# The variable, so that the dashboard fits whoever's Grafana it comes to.
SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def render(board: Board) -> str:
    """Return a dashboard's file, the same bytes for the same board."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"midstream-{board.name}")
        .description(board.description)
        .tags(["midstream"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Midstream")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["midstream"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    if board.by_server:
        built = built.with_variable(
            dashboard.QueryVariable("server")
            .label("Server")
            .datasource(SOURCE)
            .query('label_values(up{job="midstream"}, server)')
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return json.dumps(_plain(built.build()), indent=1, sort_keys=True) + "\n"


def _plain(built: Any) -> Any:
    found = json.loads(JSONEncoder(sort_keys=True).encode(built))
    # Grafana gives numbers of its own to panels; fixed ones keep links to a panel working.
    for number, panel in enumerate(found["panels"], 1):
        panel["id"] = number
    return found


def _panel(panel: Panel) -> Any:
    builder: Any
    if panel.kind is Kind.STAT:
        builder = (
            stat.Panel()
            .height(STAT_HEIGHT)
            .graph_mode(common_models.BigValueGraphMode.NONE)
            .color_mode(common_models.BigValueColorMode.BACKGROUND)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        )
    elif panel.kind is Kind.STATES:
        builder = (
            statetimeline.Panel()
            .height(HEIGHT)
            .show_value(common_models.VisibilityMode.NEVER)
            .row_height(0.9)
            .merge_values(True)
        )
    else:
        builder = (
            timeseries.Panel()
            .height(HEIGHT)
            .fill_opacity(8)
            .line_width(1)
            .show_points(common_models.VisibilityMode.NEVER)
            .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
            .legend(
                common.VizLegendOptions()
                .display_mode(common_models.LegendDisplayMode.TABLE)
                .placement(common_models.LegendPlacement.BOTTOM)
                .show_legend(True)
                .calcs(["lastNotNull", "max"])
            )
        )
        if panel.worry is not None:
            builder = builder.thresholds_style(
                common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
            )
    builder = (
        builder.title(panel.title)
        .description(panel.description)
        .unit(panel.unit or "short")
        .span(panel.width)
        .datasource(SOURCE)
        .max_data_points(SERIES_POINTS)
        .thresholds(_thresholds(panel))
        .no_value(panel.empty or "nothing yet")
    )
    if panel.decimals is not None:
        builder = builder.decimals(panel.decimals)
    if panel.states:
        builder = builder.mappings([_mapping(panel)])
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expr).legend_format(query.legend)
        builder = builder.with_target(asked.instant() if panel.kind is Kind.STAT else asked.range())
    return builder


def _thresholds(panel: Panel) -> Any:
    first, then = panel.worry, panel.alarm
    if first is None:
        steps = [models.Threshold(value=None, color=Colour.GREY if panel.states else Colour.GREEN)]
    elif then is None or then >= first:
        steps = [
            models.Threshold(value=None, color=Colour.GREEN),
            models.Threshold(value=first, color=Colour.RED if then is None else Colour.YELLOW),
        ]
        if then is not None:
            steps.append(models.Threshold(value=then, color=Colour.RED))
    else:
        steps = [
            models.Threshold(value=None, color=Colour.RED),
            models.Threshold(value=then, color=Colour.YELLOW),
            models.Threshold(value=first, color=Colour.GREEN),
        ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(panel: Panel) -> Any:
    return models.ValueMap(
        options={
            str(state.value): models.ValueMappingResult(text=state.text, color=state.colour, index=number)
            for number, state in enumerate(panel.states)
        }
    )
