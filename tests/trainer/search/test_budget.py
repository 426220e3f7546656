"""A budget as it is typed."""

from __future__ import annotations

import pytest

from edge_lstm.search.budget import Budget, parse_budget
from edge_lstm_runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("bytes<=40k", {"bytes": 40_000}),
        ("bytes<=40k, us<=3", {"bytes": 40_000, "us": 3}),
        (" us <= 2.5 ,macs<=1.5M,", {"us": 2.5, "macs": 1_500_000}),
        ("bytes<=16Ki", {"bytes": 16_384}),
        ("bytes<=1MiB", {"bytes": 1_048_576}),
        ("bytes≤40kB", {"bytes": 40_000}),
        ("bytes<=32.3k, macs<=0.0644M", {"bytes": 32_300, "macs": 64_400}),  # no float below
        ("µs<=3", {"us": 3}),
    ],
)
def test_limits(text: str, limits: dict[str, float]) -> None:
    found = parse_budget(text)
    assert dict(found.limits) == limits
    assert list(found.limits) == list(limits)  # the first one is the chief


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bytes<40", r"'bytes<40': a limit is written with <=, as in 'bytes<=40'"),
        ("bytes>=40", r"a limit is written with <="),
        ("bytes=40", r"a limit is written with <="),
        ("byte<=40", r"no quantity 'byte'; did you mean 'bytes'"),
        ("ram<=40", r"no quantity 'ram'; expected bytes, macs, us"),
        ("bytes", r"'bytes': expected QUANTITY<=NUMBER"),
        ("bytes<=", r"expected a number above 0"),
        ("bytes<=0", r"expected a number above 0"),
        ("bytes<=-4", r"expected a number above 0"),
        ("bytes<=4x", r"expected a number above 0"),
        ("bytes<=nan", r"expected a number above 0"),
        ("bytes<=4, bytes<=5", r"bytes is limited twice"),
        ("bytes<=4 us<=5", r"expected QUANTITY<=NUMBER"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as e:
        parse_budget(text)
    assert "\n" not in str(e.value)


def test_over_by_the_worst_quantity() -> None:
    budget = Budget({"bytes": 1000, "us": 2})
    assert budget.over({"bytes": 1500, "us": 1}) == pytest.approx(0.5)
    assert budget.over({"bytes": 1500, "us": 4}) == pytest.approx(1.0)
    assert budget.over({"bytes": 1000, "us": 2}) == 0
    assert budget.fits({"bytes": 1000, "us": 2})
    assert not budget.fits({"bytes": 1001, "us": 2})
    assert budget.chief == "bytes"
    assert str(budget) == "bytes<=1,000, us<=2"


def test_without_limits_all_fits() -> None:
    assert Budget({}).fits({"bytes": 1e9})
    assert Budget({}).chief == "bytes"
