"""Azure's names of time zones, which are those of Windows, in the words of the time zone database."""

import difflib
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import win_tz

from amlocal.core.errors import UserError

# Azure still has two names that Windows has given up, and UTC has its usual name here.
ZONES = {
    **win_tz,
    "Kamchatka Standard Time": "Asia/Kamchatka",
    "Mid-Atlantic Standard Time": "Etc/GMT+2",
    "UTC": "UTC",
}


def zone(name: str | None) -> ZoneInfo:
    """The zone of one of Azure's names; UTC without one. Raises UserError."""
    known = {each.lower(): place for each, place in ZONES.items()}
    place = known.get(str(name or "UTC").lower())
    if place is None:
        close = difflib.get_close_matches(str(name), ZONES, n=1)
        remedy = f'did you mean "{close[0]}"?' if close else 'Azure takes those of Windows, such as "UTC"'
        raise UserError(f'trigger.time_zone: "{name}" is no name of a time zone; {remedy}')
    try:
        return ZoneInfo(place)
    except ZoneInfoNotFoundError as error:
        raise UserError(f"trigger.time_zone: this machine does not know {place}: pip install -U tzdata") from error
