"""The few kinds of panel that the dashboard is made of, over Grafana's own builders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MappingType,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
_ANY = TypeVar("_ANY", stat.Panel, timeseries.Panel, statetimeline.Panel, table.Panel)

Queries = Mapping[str, str]
"""Expressions by their legend."""


def _queries(panel: _ANY, queries: Queries, *, instant: bool = False) -> _ANY:
    for number, (legend, expr) in enumerate(queries.items()):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + number))
        if instant:
            query = query.instant().format(prometheus_models.PromQueryFormat.TABLE)
        panel.with_target(query)
    return panel.datasource(SOURCE)


def _steps(steps: Sequence[tuple[float | None, str]]) -> Builder[object]:
    found = [Threshold(value, color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def _words(words: Mapping[str, tuple[str, str]]) -> ValueMap:
    return ValueMap(
        {
            value: ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(words.items())
        }
    )


def number(
    title: str,
    expr: str,
    help_: str,
    *,
    unit: str = "short",
    steps: Sequence[tuple[float | None, str]] = ((None, GOOD),),
    words: Mapping[str, tuple[str, str]] | None = None,
    width: int = 3,
    decimals: int | None = None,
) -> stat.Panel:
    """One large number, coloured by ``steps``, or one of ``words``."""
    panel = _queries(stat.Panel().title(title).description(help_), {title: expr})
    panel.unit(unit).thresholds(_steps(steps)).span(width).height(4)  # type: ignore[arg-type]
    panel.color_mode(common.BigValueColorMode.BACKGROUND if words or len(steps) > 1 else common.BigValueColorMode.VALUE)
    panel.graph_mode(common.BigValueGraphMode.NONE if words else common.BigValueGraphMode.AREA)
    panel.reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel.decimals(decimals)
    if words:
        panel.mappings([_words(words)])
    return panel


def graph(
    title: str,
    queries: Queries,
    help_: str,
    *,
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Lines over time; ``stacked``: areas on each other."""
    panel = _queries(timeseries.Panel().title(title).description(help_), queries)
    panel.unit(unit).min(0).span(width).height(8).fill_opacity(40 if stacked else 8).line_width(1)
    panel.show_points(common.VisibilityMode.NEVER)
    panel.legend(
        options.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    return panel


def signed(panel: timeseries.Panel) -> timeseries.Panel:
    """Values below zero are shown too."""
    defaults = panel.build().field_config
    assert defaults is not None
    defaults.defaults.min_val = None
    return panel


def timeline(
    title: str, queries: Queries, help_: str, words: Mapping[str, tuple[str, str]], *, width: int = 12, height: int = 6
) -> statetimeline.Panel:
    """States over time, one line for each series; ``words``: text and colour of each value."""
    panel = _queries(statetimeline.Panel().title(title).description(help_), queries)
    panel.span(width).height(height).mappings([_words(words)]).show_value(common.VisibilityMode.NEVER).row_height(0.8)
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
    panel.legend(
        options.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
    return panel


def sheet(
    title: str,
    columns: Mapping[str, tuple[str, str]],
    help_: str,
    *,
    hidden: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    words: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    width: int = 24,
    height: int = 8,
) -> table.Panel:
    """One line for each series at this moment; ``columns``: expression and unit by their heading."""
    panel = _queries(
        table.Panel().title(title).description(help_),
        {heading: expr for heading, (expr, _) in columns.items()},
        instant=True,
    )
    panel.span(width).height(height)
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    value = "Value" if len(columns) == 1 else "Value #{}"
    names = {value.format(chr(ord("A") + index)): heading for index, heading in enumerate(columns)}
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(["Time", *hidden], True),
                "renameByName": {**names, **(renamed or {})},
            },
        )
    )
    for heading, (_, unit) in columns.items():
        properties = [DynamicConfigValue("unit", unit)]
        if words and heading in words:
            mapping = {"type": MappingType.VALUE_TO_TEXT, "options": _words(words[heading]).to_json()["options"]}
            properties.append(DynamicConfigValue("mappings", [mapping]))
            properties.append(DynamicConfigValue("custom.cellOptions", {"type": "color-background"}))
        panel.override_by_name(heading, properties)
    return panel
