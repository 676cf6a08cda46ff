"""What a literal may be, as a component declares it; and what the writer of a wrong name may have meant."""

from collections.abc import Iterable, Mapping
from typing import Any

from amlocal.core.names import nearest


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or what there is, or nothing."""
    known = list(known)
    near = nearest(name, known)
    if near:
        return f'; did you mean "{near}"?'
    return f"; there is {', '.join(known)}" if known else ""


def literal_problem(text: str, declared: Mapping[str, Any]) -> str | None:
    """Why `text` is no value for an input declared with type, min, max and enum; None when it is one."""
    kind = declared.get("type")
    number: float
    if kind == "boolean":
        return None if text.lower() in ("true", "false") else f'"{text}" is not a boolean; write true or false'
    if kind in ("integer", "number"):
        try:
            number = int(text) if kind == "integer" else float(text)
        except ValueError:
            return f'"{text}" is not {"an integer" if kind == "integer" else "a number"}'
        low, high = declared.get("min"), declared.get("max")
        if low is not None and number < float(low):
            return f"{text} is below the least value allowed, {low}"
        if high is not None and number > float(high):
            return f"{text} is above the greatest value allowed, {high}"
    choices = declared.get("enum")
    if choices and text not in [str(choice) for choice in choices]:
        return f'"{text}" is not one of {", ".join(str(choice) for choice in choices)}'
    return None
