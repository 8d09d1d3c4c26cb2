"""The charts: pure functions from data to SVG, checked as XML and by what they say."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from stateful_engine.dashboard import svg
from stateful_engine.dashboard.svg_canvas import element, hatching, thinned, ticks, time_labels

HOSTILE = "<script>alert('x')</script>\"&"
DAY = 86_400

BINS = [
    {
        "low": low,
        "high": low + 9,
        "n": n,
        "wins": wins,
        "mean_confidence": low + 5.0 if n else None,
        "win_rate": round(wins / n * 100, 2) if n else None,
        "win_rate_ci": [20.0, 80.0] if n else None,
    }
    for low, n, wins in ((50, 0, 0), (60, 12, 5), (70, 60, 31))
]
STAGES = [
    {"stage": "generated", "count": 1200, "n": 1200, "step_conversion": 100.0},
    {"stage": HOSTILE, "count": 0, "n": 1200, "step_conversion": 0.0},
]
CANDLES = [(1.78e12 + hour * 3.6e6, 100 + hour, 103 + hour, 99 + hour, 101 + hour % 3) for hour in range(200)]

CHARTS = {
    "line_with_drawdown": svg.line_with_drawdown(
        [
            svg.Series(HOSTILE, [(0, 1.0), (DAY, 3.0), (2 * DAY, 0.5)]),
            svg.Series("executed", [(0, 0.5), (2 * DAY, 2.0)]),
        ]
    ),
    "reliability": svg.reliability(BINS),
    "histogram": svg.histogram([svg.Bin(None, -1, 2), svg.Bin(-1, 0, 5), svg.Bin(0, 1, 0), svg.Bin(1, None, 9)]),
    "outcome_mix": svg.outcome_mix([svg.Share("WIN", 30, 4), svg.Share("LOSS", 20), svg.Share(HOSTILE, 1)]),
    "heat_map": svg.heat_map(
        [HOSTILE, "ETHUSDT"],
        ["1H", "4H"],
        {
            (HOSTILE, "1H"): svg.Cell(0.5, 40),
            ("ETHUSDT", "4H"): svg.Cell(-1.25, 3, True),
            ("ETHUSDT", "1H"): svg.Cell(None, 0),
        },
    ),
    "scatter": svg.scatter([svg.Dot(-0.5, 1.2, kind, HOSTILE) for kind in ("WIN", "LOSS", "BREAKEVEN")]),
    "calendar": svg.calendar([svg.Day(date(2026, 3, day), value, 2) for day, value in ((1, 1.5), (2, -0.5), (9, 0.0))]),
    "funnel": svg.funnel(STAGES),
    "sparkline": svg.sparkline([1.0, None, 3.0, 2.0], title=HOSTILE),
    "candles": svg.candles(
        CANDLES,
        [
            svg.Level("entry", HOSTILE, 101.0, CANDLES[60][0]),
            svg.Level("tp", "TP", 110.0),
            svg.Level("sl", "SL", 100.9),
        ],
    ),
}


def wide(picture: str) -> ElementTree.Element:
    """The first picture of a chart: those along time come in two widths."""
    return next(ElementTree.fromstring(picture).iter("svg"))


def texts(picture: str) -> list[str]:
    return ["".join(found.itertext()) for found in wide(picture).iter("text")]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_named_described_and_without_styles_or_scripts(name):
    drawn = ElementTree.fromstring(CHARTS[name])
    for picture in drawn.iter("svg"):
        assert picture.get("role") == "img"
        assert picture.get("aria-label") == picture.findtext("title")
        assert len(picture.findtext("desc") or "") > 10
    for found in drawn.iter():
        assert found.tag != "script"
        assert not {"style", "fill", "stroke", "id"} & set(found.attrib)
        assert not [key for key in found.attrib if key.startswith("on")]


@pytest.mark.parametrize("name", CHARTS)
def test_coordinates_have_at_most_one_decimal_and_are_never_nan(name):
    coordinates = re.findall(r' (?:d|x|y|cx|cy|width|height)="([^"]*)"', CHARTS[name])
    assert coordinates
    for written in coordinates:
        assert "nan" not in written and "inf" not in written
        assert not re.search(r"\.\d\d", written)


def test_without_data_every_chart_is_a_sentence_in_its_place():
    empty = [
        svg.line_with_drawdown([svg.Series("all", [])]),
        svg.reliability([BINS[0]]),
        svg.histogram([svg.Bin(0, 1, 0)]),
        svg.outcome_mix([svg.Share("WIN", 0)]),
        svg.heat_map(["a"], ["b"], {("a", "b"): svg.Cell(None, 0)}),
        svg.scatter([]),
        svg.calendar([]),
        svg.funnel([]),
        svg.candles([], []),
    ]
    for picture in empty:
        assert picture.startswith('<p class="chart-empty">No ')
    assert svg.sparkline([1.0, None]) == ""
    assert svg.histogram([], empty=HOSTILE) == f'<p class="chart-empty">{element("x", HOSTILE)[3:-4]}</p>'


def test_the_description_says_what_the_lines_end_at_and_how_deep_they_fell():
    told = ElementTree.fromstring(CHARTS["line_with_drawdown"]).find(".//desc")
    assert told is not None and told.text == (
        f"1970-01-01 to 1970-01-03 UTC. {HOSTILE}: +0.5 R; executed: +2 R. Deepest drawdown 2.5 R."
    )


def test_a_first_loss_is_a_drawdown_as_it_is_in_the_report():
    assert svg.drawdown([(0, -1.0), (1, 2.0), (2, 1.5)]) == [(0, -1.0), (1, 0.0), (2, -0.5)]


def test_lines_differ_by_dashes_and_are_named():
    picture = CHARTS["line_with_drawdown"]
    assert 'class="series s0"' in picture and 'class="series s1"' in picture
    assert texts(picture)[-2:] == [HOSTILE, "executed"]


def test_points_of_few_signals_are_hollow_and_every_point_says_its_n():
    picture = CHARTS["reliability"]
    assert picture.count('class="point thin"') == 1 and picture.count('class="point"') == 1
    assert {"n=12", "n=60"} <= set(texts(picture))
    assert "5 of 12 won = 41.67 %, 95 % interval 20 to 80 %" in picture


def test_losses_are_hatched_in_the_histogram_and_so_are_ambiguous_outcomes():
    assert CHARTS["histogram"].count('class="hatch"') == 2
    assert CHARTS["outcome_mix"].count('class="hatch"') == 2
    assert "30 (58.8 %)" in texts(CHARTS["outcome_mix"])


def test_empty_ends_of_a_histogram_take_no_room():
    bins = [svg.Bin(low, low + 1, int(low in {2, 4})) for low in range(-20, 20)]
    assert [found for found in texts(svg.histogram(bins)) if found[0] in "+−"] == ["+1", "+2", "+3", "+4", "+5"]


def test_hatching_stays_inside_its_rectangle():
    numbers = [float(found) for found in re.findall(r"-?[\d.]+", hatching(10, 20, 30, 12))]
    assert min(numbers[0::2]) >= 10 and max(numbers[0::2]) <= 40
    assert min(numbers[1::2]) >= 20 and max(numbers[1::2]) <= 32


def test_cells_of_the_heat_map_say_their_figure_and_their_n_and_thin_ones_are_marked():
    picture = CHARTS["heat_map"]
    assert [found for found in texts(picture) if found[0] in "+−n"] == ["+0.5", "n=40", "−1.25", "n=3"]
    assert 'class="up2"' in picture and 'class="down1 thin"' in picture


def test_many_rows_are_written_compactly():
    picture = svg.heat_map(["07"], ["Mon"], {("07", "Mon"): svg.Cell(-0.5, 31)}, compact=True)
    assert texts(picture) == ["Mon", "07", "−0.5 ·31"]


def test_large_counts_are_shortened_in_cells_and_told_in_full():
    counts = {"9": 999, "k": 4855, "kk": 145_440, "kkk": 999_600, "m": 12_345_678}
    picture = svg.heat_map(["x"], list(counts), {("x", name): svg.Cell(0.5, n) for name, n in counts.items()})
    shown = [found for found in texts(picture) if found.startswith("n=")]
    assert [found for found in shown if "," not in found] == ["n=999", "n=4.9k", "n=145k", "n=1.0M", "n=12.3M"]
    assert "<title>n=145,440</title>" in picture


def test_what_scripts_read_is_what_is_drawn():
    chart = ElementTree.fromstring(CHARTS["line_with_drawdown"])
    assert json.loads(chart.get("data-series") or "") == {
        "unit": "R",
        "names": [HOSTILE, "executed"],
        "data": [[0, DAY, 2 * DAY], [1.0, 3.0, 0.5], [0.5, None, 2.0], [0.0, 0.0, -2.5]],
    }


def test_charts_along_time_come_for_wide_and_for_narrow_screens():
    for name in ("line_with_drawdown", "candles"):
        assert re.findall(r'<svg [^>]*class="(\w+)"', CHARTS[name]) == ["wide", "narrow"]


def test_the_shape_of_a_dot_tells_its_outcome_without_its_colour():
    drawn = ElementTree.fromstring(CHARTS["scatter"])
    marks = [list(found)[1].tag for found in drawn.iter("g")]
    assert marks == ["circle", "path", "rect"]


def test_at_most_500_dots_and_53_weeks_are_drawn():
    assert svg.scatter([svg.Dot(0.1, 0.2, "WIN", "")] * 700).count("<circle") == 501
    days = [svg.Day(date(2024, 1, 1) + timedelta(days=number), 1.0, 1) for number in range(800)]
    assert svg.calendar(days).count("<rect") == 364


def test_the_calendar_says_each_day_and_marks_gain_and_loss_by_sign():
    picture = CHARTS["calendar"]
    assert "2026-03-01: +1.5 R in 2" in picture and "2026-03-02: −0.5 R in 2" in picture
    assert re.search(r'd="([^"]*)" class="sign"', picture)[1].count("M") == 2  # type: ignore[index]


def test_stages_are_shown_with_the_conversion_from_the_one_before():
    assert texts(CHARTS["funnel"]) == ["generated", "1,200", HOSTILE, "0 (0 %)"]


def test_the_names_of_close_levels_do_not_cover_each_other():
    drawn = wide(CHARTS["candles"])
    heights = sorted(
        float(found.get("y") or 0) for found in drawn.iter("text") if found.get("class") in {"entry", "tp", "sl"}
    )
    assert len(heights) == 3 and min(b - a for a, b in pairwise(heights)) >= 17


def test_only_the_latest_candles_are_drawn_and_unknown_prices_are_left_out():
    assert CHARTS["candles"].count("<rect") == 2 * 160
    broken = [*CANDLES[:3], (CANDLES[3][0], float("nan"), 1.0, 1.0, 1.0)]
    assert svg.candles(broken, []).count("<rect") == 2 * 3


def test_thinning_keeps_heights_and_depths():
    points = [(float(number), 50.0 if number == 777 else -9.0 if number == 778 else 0.0) for number in range(5000)]
    kept = thinned(points, 400)
    assert len(kept) <= 410 and kept == sorted(kept)
    assert {(777.0, 50.0), (778.0, -9.0)} <= set(kept) and kept[-1] == points[-1]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 40, [0, 10, 20, 30, 40]),
        (-0.3, 0.9, [-0.5, 0, 0.5, 1]),
        (7, 7, [6, 6.5, 7, 7.5, 8]),
        (0, 1e-9, [0, 2e-10, 4e-10, 6e-10, 8e-10, 1e-9]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_an_axis_of_time_says_hours_days_or_months():
    assert [label for _, label in time_labels(0, DAY, 3)] == ["00:00", "12:00", "00:00"]
    assert [label for _, label in time_labels(0, 30 * DAY, 3)] == ["1 Jan", "16 Jan", "31 Jan"]
    assert [label for _, label in time_labels(0, 800 * DAY, 3)] == ["Jan 1970", "Feb 1971", "Mar 1972"]
    assert [label for _, label in time_labels(0, 0)] == ["00:00"]
