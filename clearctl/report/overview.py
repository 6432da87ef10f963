"""The charts that a page of several groups opens on: a line for each group, with a band of one standard deviation."""

from collections.abc import Sequence

from markupsafe import Markup

from clearctl.report.charts import ChartLine, line_chart
from clearctl.report.groups import Group, shown
from clearctl.report.series import KINDS, MOST_LINES, Kind, Series, bucket_names


def comparison_charts(groups: Sequence[Group]) -> list[tuple[str, Markup]]:
    """(title, chart) of the first MOST_LINES groups; none of a single group, and none of what no two groups have."""
    if len(groups) < 2:
        return []
    charts = []
    for kind in KINDS:
        lines = [
            _line(kind, group, series, number)
            for number, group in enumerate(groups[:MOST_LINES])
            if (series := kind.series(group)) is not None
        ]
        if len(lines) > 1 and max(len(line.x) for line in lines) > 1:
            charts.append((kind.title, _chart(kind, groups[:MOST_LINES], lines)))
    return charts


def comparison_keys(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(class of its line, label) of each group in the charts."""
    return [(_style(number), group.label) for number, group in enumerate(groups[:MOST_LINES])]


def _chart(kind: Kind, groups: Sequence[Group], lines: Sequence[ChartLine]) -> Markup:
    names = bucket_names(groups)[: max(len(line.x) for line in lines)]
    return line_chart(
        lines,
        title=kind.title,
        x_label=kind.x_label,
        y_label=kind.marked_label(groups),
        x_ticks=[(float(number), name) for number, name in enumerate(names)],
        at_most=100,
    )


def _line(kind: Kind, group: Group, series: Series, number: int) -> ChartLine:
    stds = [None] * len(series.mean) if series.std is None else series.std.tolist()
    titles = [
        f"{group.label}, {kind.x_label} {name}: {shown(kind.number, mean)}"
        f"{'' if std is None else f' ± {shown(kind.number, std)}'} {'points' if kind.in_points else '%'}"
        for name, mean, std in zip(group.bucket_names, series.mean.tolist(), stds, strict=False)
    ]
    return ChartLine(
        range(len(series.mean)),
        (100 * series.mean).tolist(),
        _style(number),
        group.label,
        titles,
        spread=() if series.std is None else (100 * series.std).tolist(),
    )


def _style(number: int) -> str:
    return f"g{number}"
