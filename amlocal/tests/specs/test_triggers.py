"""When a schedule is due: cron expressions, recurrences, time zones, and what is wrong with a trigger."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest

from amlocal.core.errors import UserError
from amlocal.specs.time_zones import ZONES, zone
from amlocal.specs.triggers import ignored, trigger

MADE = datetime(2026, 1, 1, 10, 0, 30, tzinfo=UTC)  # a Thursday


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(spec, since, until):
    """Every time after `since` and not after `until`; `latest` must agree with `following`."""
    times, found = trigger(spec, MADE), []
    while (following := times.following(found[-1] if found else since)) and following <= until:
        found.append(following)
    assert times.latest(since, until) == (found[-1] if found else None)
    return [f"{each:%m-%d %H:%M}" for each in found]


def cron(expression, **more):
    return {"type": "cron", "expression": expression, **more}


def every(interval, frequency, **more):
    return {"type": "recurrence", "interval": interval, "frequency": frequency, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (cron("0 6 * * *"), ["01-02 06:00", "01-03 06:00", "01-04 06:00"]),
        (cron("15 16 * * 1"), []),
        (cron("15 16 * * Friday,sun"), ["01-02 16:15", "01-04 16:15"]),
        (cron("0 6 * * 5", time_zone="Pacific Standard Time"), ["01-02 14:00"]),
        (cron("0 6 13 2 *"), ["01-02 06:00", "01-03 06:00", "01-04 06:00"]),  # days and months count as *
        (every(1, "day"), ["01-02 10:00", "01-03 10:00", "01-04 10:00"]),
        (every(2, "day"), ["01-03 10:00"]),
        (every(30, "hour"), ["01-02 16:00", "01-03 22:00"]),
        (
            every(1, "day", schedule={"hours": [4, 23], "minutes": 30}),
            ["01-01 23:30", "01-02 04:30", "01-02 23:30", "01-03 04:30", "01-03 23:30", "01-04 04:30"],
        ),
        (
            every(1, "week", schedule={"hours": 8, "minutes": [0], "week_days": ["friday", "sunday"]}),
            ["01-02 08:00", "01-04 08:00"],
        ),
        (every(1, "day", start_time="2026-01-03T00:00:00"), ["01-03 00:00", "01-04 00:00"]),
        (
            every(1, "day", start_time="2026-01-03T00:00:00", time_zone="Eastern Standard Time"),
            ["01-03 05:00", "01-04 05:00"],
        ),
        (every(1, "day", start_time="2026-01-03T00:00:00+02:00"), ["01-02 22:00", "01-03 22:00"]),
        (every(1, "day", end_time="2026-01-03T00:00:00"), ["01-02 10:00"]),
        (cron("0 6 * * *", start_time="2026-01-03T07:00:00"), ["01-04 06:00"]),
    ],
)
def test_the_times_of_a_trigger(spec, expected):
    assert due(spec, MADE, at("2026-01-04 20:00")) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (every(1, "month"), ["02-01 10:00", "03-01 10:00", "04-01 10:00"]),
        (
            every(2, "month", schedule={"hours": 1, "minutes": 0, "month_days": [5, 31]}),
            ["01-05 01:00", "01-31 01:00", "03-05 01:00", "03-31 01:00"],
        ),
        (every(4, "week"), ["01-29 10:00", "02-26 10:00", "03-26 10:00"]),
        (every(40, "day"), ["02-10 10:00", "03-22 10:00"]),
    ],
)
def test_long_intervals(spec, expected):
    assert due(spec, MADE, at("2026-04-10 00:00")) == expected


def test_minutes_of_a_schedule_that_began_years_ago():
    spec = every(7, "minute", start_time="2015-01-01T00:00:00")
    assert len(due(spec, MADE, MADE + timedelta(minutes=70))) == 10


@pytest.mark.parametrize("spec", [cron("30 2 * * *"), every(1, "day", schedule={"hours": 2, "minutes": 30})])
def test_once_a_day_when_the_clocks_change(spec):
    spec = spec | {"time_zone": "W. Europe Standard Time"}
    spring = due(spec, at("2026-03-28 00:00"), at("2026-03-30 12:00"))
    assert [text[:5] for text in spring] == ["03-28", "03-29", "03-30"]
    autumn = due(spec, at("2026-10-24 12:00"), at("2026-10-26 12:00"))
    assert [text[:5] for text in autumn] == ["10-25", "10-26"]


@pytest.mark.parametrize("minutes", range(20, 100, 10))
def test_a_time_in_the_hour_that_the_clocks_repeat_is_not_late(minutes):
    spec = cron("30,45 2 * * *", time_zone="W. Europe Standard Time")  # 00:30 and 00:45 UTC; at 01:30 it is 02:30 again
    found = due(spec, at("2026-10-24 12:00"), at("2026-10-25 00:00") + timedelta(minutes=minutes))
    assert found == ["10-25 00:30", "10-25 00:45"][: (minutes >= 30) + (minutes >= 45)]


def test_the_latest_time_is_found_where_clocks_change_at_a_quarter_to():
    spec = cron("30 */2 * * 0", time_zone="Chatham Islands Standard Time")
    assert due(spec, at("2026-04-04 12:00"), at("2026-04-04 14:00")) == ["04-04 12:45"]


def test_nothing_is_due_twice_or_when_the_clock_goes_back():
    times = trigger(cron("* * * * *"), MADE)
    assert times.latest(at("2026-01-02 00:00"), at("2026-01-02 00:00")) is None
    assert times.latest(at("2026-01-02 00:00"), at("2026-01-01 23:00")) is None
    assert times.latest(at("2026-01-01 23:59"), at("2026-01-02 00:00")) == at("2026-01-02 00:00")


def test_every_time_zone_of_azure_is_known():
    from azure.ai.ml.constants import TimeZone

    assert {each.value for each in TimeZone} <= set(ZONES)
    assert all(zone(name.upper()) for name in ZONES)
    assert zone(None).key == "UTC"


def test_newer_names_of_windows_are_known_too():
    assert zone("Yukon Standard Time").key == "America/Whitehorse"


def test_every_time_zone_is_known_where_the_system_has_no_database_of_its_own():
    """Windows has none, and Debian 13 has India under Asia/Kolkata alone."""
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert all(zone(name) for name in ZONES)
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (cron("0 6 * *"), "trigger.expression: .* has 4 fields; give five"),
        (cron("61 6 * * *"), 'trigger.expression: "61 6 .*": bad minute'),
        (cron("0 6 * * funday"), "bad day-of-week"),
        (cron("0 6 * * *", time_zone="Europe/Berlin"), "time_zone: .* Azure takes those of Windows"),
        (cron("0 6 * * *", time_zone="Pacific Standard Tme"), 'did you mean "Pacific Standard Time"?'),
        (cron("0 6 * * *", start_time="tomorrow"), 'trigger.start_time: "tomorrow" is no time'),
        (every(0, "day"), "trigger.interval: 0 is not a whole number above 0"),
        (every(1, "year"), 'trigger.frequency: "year"; it is one of minute, hour'),
        (every(1, "day", schedule={"hours": [24], "minutes": 0}), "trigger.schedule.hours: 24"),
        (every(1, "week", schedule={"hours": 1, "minutes": 0, "week_days": "someday"}), "week_days: someday"),
    ],
)
def test_what_is_wrong_with_a_trigger_is_named(spec, message):
    with pytest.raises(UserError, match=message):
        trigger(spec, MADE)


def test_what_azure_does_not_heed_is_said():
    assert "days and months count as *" in ignored(cron("0 6 13 * *"))
    assert ignored(cron("0 6 * * 1")) is None
    assert ignored(every(1, "day")) is None
