"""Our figures beside those that freqtrade, empyrical, backtesting.py and scikit-learn assert of the same inputs.

Each is equal to 1e-6, or differs by a convention that is named here and shown to explain the other figure.
"""

from __future__ import annotations

import pytest

from stateful_engine.domain import calibration, metrics
from tests.domain.metric_truth import (
    Case,
    compounding_sharpe,
    drawdown_from_the_first_close,
    freqtrade_per_trade_ratio,
    metric_cases,
    numbers_of,
)

WITHOUT_FUNCTION = {"annual_volatility", "omega", "total_return"}
SENTINELS = {0.0, 100, "inf"}


def from_empyrical(case: Case) -> bool:
    return case["id"].startswith("emp-")


def periods(case: Case) -> float:
    return case["inputs"].get("periods_per_year", 365)


def profit_summary(case: Case) -> dict[str, float | None]:
    results = numbers_of(case)
    return {
        "winning_trades": sum(result > 0 for result in results),
        "losing_trades": sum(result < 0 for result in results),
        "profit_factor": metrics.profit_factor(results),
        "winrate": metrics.win_rate_all(results),
        "expectancy": metrics.expectancy(results),
        "expectancy_ratio": metrics.expectancy_ratio(results),
    }


def our_drawdown(case: Case) -> float | dict[str, float | None] | None:
    if from_empyrical(case):
        drawdown = metrics.max_drawdown(numbers_of(case), compounded=True)
        return None if drawdown is None else -drawdown
    drawdown = metrics.max_drawdown(numbers_of(case))
    return {"drawdown_abs": drawdown} if isinstance(case["expected"], dict) else drawdown


def our_forecast(case: Case):
    inputs = case["inputs"]
    functions = {
        "roc_auc": calibration.auc,
        "auc": calibration.auc,
        "brier": calibration.brier,
        "brier_score": calibration.brier,
        "brier_score_loss": calibration.brier,
        "brier_skill": calibration.brier_skill,
        "expected_calibration_error": calibration.expected_calibration_error,
        "ece": calibration.expected_calibration_error,
    }
    return functions[case["metric"]](inputs["y_true"], inputs.get("y_prob", inputs.get("y_score")))


OURS = {
    "expectancy": lambda case: {
        "expectancy": metrics.expectancy(numbers_of(case)),
        "expectancy_ratio": metrics.expectancy_ratio(numbers_of(case)),
    },
    "sharpe": lambda case: metrics.sharpe(numbers_of(case), periods(case)),
    "sortino": lambda case: metrics.sortino(numbers_of(case), periods(case)),
    "calmar": lambda case: metrics.calmar(numbers_of(case), periods(case)),
    "annual_return": lambda case: metrics.annual_return(numbers_of(case), periods(case)),
    "cagr": lambda case: metrics.cagr(case["inputs"]["start"], case["inputs"]["end"], case["inputs"]["days"]),
    "streaks": lambda case: metrics.streaks(numbers_of(case))._asdict(),
    "profit_factor": lambda case: metrics.profit_factor(numbers_of(case)),
    "win_rate": lambda case: metrics.win_rate(numbers_of(case)),
    "payoff": lambda case: metrics.payoff(numbers_of(case)),
    "profit summary": profit_summary,
    "max_drawdown": our_drawdown,
    "sqn": lambda case: metrics.sqn(numbers_of(case)),
    "kelly": lambda case: metrics.kelly(numbers_of(case)),
}


def figures(value) -> dict[str, float | str | None]:
    return value if isinstance(value, dict) else {"figure": value}


def convention(case: Case, ours: float | None, theirs: float | str | None) -> str | None:
    """Why a figure is not the other library's; None when it is."""
    close = pytest.approx(theirs, rel=1e-6, abs=1e-6) if isinstance(theirs, (int, float)) else theirs
    if ours == close:
        return None
    if isinstance(theirs, float) and ours is not None and round(ours, 4) == theirs:
        return "the other library asserts a rounded figure"
    if ours is None and theirs in SENTINELS:
        return "what is undefined is None, not 0, 100 or infinity"
    if isinstance(theirs, str) and "raises" in theirs and ours == 0.0:
        return "without a loss the drawdown is 0, not an error"
    return differently_defined(case, ours, theirs)


def differently_defined(case: Case, ours: float | None, theirs: float | str | None) -> str:
    numbers, metric, exactly = numbers_of(case), case["metric"], pytest.approx(theirs, rel=1e-6)
    if metric in {"sharpe", "sortino"} and "starting_balance" in case["inputs"]:
        assert freqtrade_per_trade_ratio(case, losers_only=metric == "sortino") == exactly
        return "per day, not per trade"
    if case["id"] == "bt-sharpe":
        assert compounding_sharpe(numbers, days=252) == exactly
        return "mean over deviation, without compounding"
    if metric == "max_drawdown" and not from_empyrical(case):
        assert drawdown_from_the_first_close(numbers) == exactly
        assert ours == pytest.approx(theirs - min(0.0, numbers[0]))
        return "a first loss is part of the drawdown"
    return "unexplained"


@pytest.mark.parametrize(
    "case", [case for case in metric_cases() if case["metric"] not in WITHOUT_FUNCTION], ids=lambda case: case["id"]
)
def test_a_figure_is_the_other_librarys_or_differs_by_a_named_convention(case):
    ours = figures(OURS.get(case["metric"], our_forecast)(case))
    theirs = figures(case["expected"])
    assert ours.keys() == theirs.keys()
    reasons = {name: convention(case, ours[name], theirs[name]) for name in theirs}
    assert "unexplained" not in reasons.values()
