"""Whether two deployments answered the same, for answers that nobody has described to us.

A retrained classifier gives other probabilities to every request and mostly the same classes; a retrained regressor
gives slightly other numbers. So, by default:

- texts, whole numbers, true and false, and which fields and how many items there are, must be the same;
- of numbers that sum to 1 (probabilities) the largest must stand at the same place;
- other numbers may differ by a tenth; beside something exact, a number from 0 to 1 is taken for how sure the model is,
  and is not compared.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from amlocal.core.errors import UserError

CLOSE = 0.1  # of the larger of two numbers
SUM_TOLERANCE = 0.01
SHOWN = 40  # characters of a value in a message

Number = int | float


def decode(text: str) -> Any:
    """What a deployment answered: its JSON, also where the script has returned JSON as a text; else the text."""
    value: Any = text
    for _ in range(2):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, str):
            break
    return value


def selector(expression: str | None) -> Callable[[Any], Any]:
    """The part of an answer that is compared; `expression` in JMESPath, None: all of it. Raises UserError."""
    if expression is None:
        return lambda answer: answer
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        first = str(error).splitlines()[0].rstrip(":")
        raise UserError(f"--compare {expression}: not JMESPath: {first}; example: --compare predictions") from error

    def select(answer: Any) -> Any:
        try:
            return compiled.search(answer)
        except JMESPathError as error:
            raise UserError(f"--compare {expression}: {' '.join(str(error).split())}") from error

    return select


def difference(now: Any, new: Any) -> str | None:
    """Where and how `new` answers otherwise than `now`, in words; None if they agree, as above."""
    return _difference(now, new, "", _is_exact(now) or _is_exact(new))


def _difference(now: Any, new: Any, path: str, exact: bool) -> str | None:
    if isinstance(now, dict) and isinstance(new, dict):
        if odd := sorted(now.keys() ^ new.keys()):
            return f"{_join(path, odd[0])} is in one answer only"
        return _first(_difference(now[key], new[key], _join(path, key), exact) for key in now)
    if isinstance(now, list) and isinstance(new, list):
        if len(now) != len(new):
            return f"{path or 'the answer'} has {len(new)} items, not {len(now)}"
        if _is_distribution(now) and _is_distribution(new):
            before, after = now.index(max(now)), new.index(max(new))
            return None if before == after else f"{path or 'the answer'} is largest at {after}, not at {before}"
        return _first(_difference(*pair, f"{path}[{i}]", exact) for i, pair in enumerate(zip(now, new, strict=True)))
    if _is_number(now) and _is_number(new) and (isinstance(now, float) or isinstance(new, float)):
        same = _close(now, new) or (exact and 0 <= now <= 1 and 0 <= new <= 1)
    else:
        same = type(now) is type(new) and now == new
    return None if same else f"{path or 'the answer'} is {_shown(new)}, not {_shown(now)}"


def _first(found: Any) -> str | None:
    return next((each for each in found if each), None)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)


def _is_exact(value: Any) -> bool:
    """Whether a text, a whole number, true or false is somewhere in it."""
    if isinstance(value, dict):
        return any(map(_is_exact, value.values()))
    if isinstance(value, list):
        return any(map(_is_exact, value))
    return isinstance(value, (str, bool, int))


def _is_distribution(values: list[Any]) -> bool:
    return (
        len(values) > 1
        and all(_is_number(each) and 0 <= each <= 1 for each in values)
        and any(isinstance(each, float) for each in values)
        and abs(sum(values) - 1) <= SUM_TOLERANCE
    )


def _close(now: Number, new: Number) -> bool:
    if math.isnan(now) or math.isnan(new):
        return math.isnan(now) and math.isnan(new)
    return now == new or abs(now - new) <= CLOSE * max(abs(now), abs(new))
