"""When a schedule is due: cron expressions and recurrences, as Azure reads them. Pure: the time is always given.

What Azure documents (reference-yaml-schedule, how-to-schedule-pipeline-job): a cron expression has five fields, of
which days and months count as `*`; a start that is past moves the first run to the next calculated time; without one
the start is when the schedule was made. Assumed, for Azure is silent: weeks begin on Monday; a month that lacks the day
is passed over; a pattern is for days, weeks and months only; a time that the clocks skip is an hour later in a
recurrence, and for a cron expression the moment at which they skip it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import product, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from amlocal.core.errors import UserError
from amlocal.specs.time_zones import zone

WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
PATTERNS = ("day", "week", "month")
HORIZON_DAYS = 366 * 8  # a 29th of February comes within eight years


@dataclass(frozen=True)
class Trigger:
    """Times at which something happens. start and end are moments; the days and hours between are those of `zone`.

    expression: a cron expression; without it `frequency`, `interval` and the pattern tell.
    """

    zone: ZoneInfo
    start: datetime
    end: datetime | None = None
    expression: str | None = None
    frequency: str = "day"
    interval: int = 1
    times: tuple[time, ...] = ()
    week_days: frozenset[int] = field(default_factory=frozenset)
    month_days: frozenset[int] = field(default_factory=frozenset)

    def latest(self, since: datetime, until: datetime) -> datetime | None:
        """The last time after `since` and not after `until`, both in UTC; None if there is none."""
        if self.end:
            until = min(until, self.end)
        if until < self.start:
            return None
        return next((due for due in self._backwards(since, until) if self.start <= due), None)

    def following(self, after: datetime) -> datetime | None:
        """The next time after `after`, in UTC; None if there is none any more."""
        found = next((due for due in self._forwards(after) if due > after and due >= self.start), None)
        return None if found is None or (self.end and found > self.end) else found

    def _backwards(self, since: datetime, until: datetime) -> Iterator[datetime]:
        if self.expression:
            # Forwards from ever longer ago: where the clocks change CronSim's own way back loses times, or never ends.
            candidates: Iterator[datetime] = iter(())
            for back in (timedelta(hours=1), timedelta(days=8), until - since):
                if found := list(takewhile(lambda due: due <= until, self._forwards(until - back))):
                    candidates = reversed(found)
                    break
        elif self.frequency in STEPS:
            step = STEPS[self.frequency] * self.interval
            candidates = iter([self.start + (until - self.start) // step * step])
        else:
            days = (until.astimezone(self.zone).date() - date.min).days
            first = (max(since, self.start).astimezone(self.zone).date() - date.min).days
            candidates = self._on(
                (date.min + timedelta(days=number) for number in range(days, first - 1, -1)), backwards=True
            )
        for due in candidates:
            if due <= since:
                return
            if due <= until:
                yield due

    def _forwards(self, after: datetime) -> Iterator[datetime]:
        after = max(after, self.start - timedelta(seconds=1))
        if self.expression:
            yield from (due.astimezone(UTC) for due in CronSim(self.expression, after.astimezone(self.zone)))
        elif self.frequency in STEPS:
            step = STEPS[self.frequency] * self.interval
            yield self.start + max(0, (after - self.start) // step + 1) * step
        else:
            first = after.astimezone(self.zone).date()
            days = HORIZON_DAYS * self.interval
            yield from self._on((first + timedelta(days=number) for number in range(days)), backwards=False)

    def _on(self, days: Iterator[date], backwards: bool) -> Iterator[datetime]:
        """The times on those of `days` that the recurrence falls on. A time that a clock skips is an hour later."""
        start = self.start.astimezone(self.zone)
        times = sorted(self.times or (start.timetz().replace(tzinfo=None),), reverse=backwards)
        for day in days:
            if self._falls_on(day, start.date()):
                yield from (datetime.combine(day, each, self.zone).astimezone(UTC) for each in times)

    def _falls_on(self, day: date, start: date) -> bool:
        """Which weeks and months count is told from the start, and so is the day where the pattern names none."""
        if self.frequency == "day":
            return (day - start).days % self.interval == 0
        if self.frequency == "week":
            weeks = ((day - timedelta(day.weekday())) - (start - timedelta(start.weekday()))).days // 7
            return weeks % self.interval == 0 and day.weekday() in (self.week_days or {start.weekday()})
        months = (day.year - start.year) * 12 + day.month - start.month
        if months % self.interval:
            return False
        if self.week_days:
            return day.weekday() in self.week_days
        return day.day in (self.month_days or {start.day})


def trigger(spec: dict[str, Any], created: datetime) -> Trigger:
    """A trigger as a schedule's file has it. created: when the schedule was made. Raises UserError naming the field."""
    place = zone(spec.get("time_zone"))
    start = _moment("start_time", spec.get("start_time"), place) or created.replace(microsecond=0)
    end = _moment("end_time", spec.get("end_time"), place)
    if spec.get("type") == "cron":
        return Trigger(place, start, end, expression(spec.get("expression")))
    interval = spec.get("interval")
    if not isinstance(interval, int) or interval < 1:
        raise UserError(f"trigger.interval: {interval} is not a whole number above 0")
    frequency = str(spec.get("frequency")).lower()
    if frequency not in (*STEPS, *PATTERNS):
        raise UserError(f'trigger.frequency: "{frequency}"; it is one of {", ".join((*STEPS, *PATTERNS))}')
    pattern = {key: _list(value) for key, value in (spec.get("schedule") or {}).items()}
    hours = [_within("hours", hour, 0, 23) for hour in pattern.get("hours", [])]
    minutes = [_within("minutes", minute, 0, 59) for minute in pattern.get("minutes", [])]
    begins = start.astimezone(place)
    times: tuple[time, ...] = ()
    if hours or minutes:
        times = tuple(time(hour, minute) for hour, minute in product(hours or [begins.hour], minutes or [0]))
    return Trigger(
        place,
        start,
        end,
        None,
        frequency,
        interval,
        times,
        frozenset(_week_day(day) for day in pattern.get("week_days", [])),
        frozenset(_within("month_days", day, 1, 31) for day in pattern.get("month_days", [])),
    )


def expression(text: Any) -> str:
    """A cron expression as Azure reads it: days and months are `*` whatever they say. Raises UserError."""
    fields = str(text or "").split()
    if len(fields) != 5:
        raise UserError(f'trigger.expression: "{text}" has {len(fields)} fields; give five: minutes hours * * weekdays')
    minutes, hours, _, _, week_days = fields
    week_days = re.sub(r"[A-Za-z]+", lambda name: name[0][:3].upper(), week_days)
    read = f"{minutes} {hours} * * {week_days}"
    try:
        CronSim(read, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise UserError(f'trigger.expression: "{text}": {str(error)[:1].lower()}{str(error)[1:]}') from error
    return read


def ignored(spec: dict[str, Any]) -> str | None:
    """What of a trigger Azure does not heed, in words; None if nothing."""
    fields = str(spec.get("expression") or "").split()
    if len(fields) == 5 and fields[2:4] != ["*", "*"]:
        return f'trigger.expression: "{spec["expression"]}": days and months count as *, as Azure has it'
    return None


def _moment(name: str, value: Any, place: ZoneInfo) -> datetime | None:
    """A time as written in a file; one without an offset is in the trigger's zone."""
    if not value:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise UserError(f'trigger.{name}: "{value}" is no time; write 2026-01-31T06:00:00') from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=place)).astimezone(UTC)


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _within(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"trigger.schedule.{name}: {value} is not a whole number from {least} to {most}")
    return value


def _week_day(name: Any) -> int:
    if str(name).lower() not in WEEK_DAYS:
        raise UserError(f"trigger.schedule.week_days: {name}: it is one of {', '.join(WEEK_DAYS)}")
    return WEEK_DAYS.index(str(name).lower())
