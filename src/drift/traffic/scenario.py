"""Who writes which digit when: a small YAML file of formulas, read and checked; drift.traffic.simulation plays it.

    description: A clumsy hand comes little by little, and hardly ever writes a 7.
    seed: 2                 # the same file gives the same digits in the same order
    ticks: 100              # one request each
    start: 2025-01-01       # the simulated date of tick 0 ...
    step: 1 day             # ... and how far it is to the next: minutes, hours, days or weeks
    sources:                # a weight for every tick; the heaviest source writes the digit
      mnist: 0.1 + 0.1 * rand           # a set of digits, by digits.data's names
      clumsy:                           # or one of any name, made of a set:
        weight: 0.3 * x
        digits: mnist                   # which (default: the one that the source is called as)
        effects:                        # drift.traffic.effects' names, in the order in which they are to come
          slant: 0.4
          thicken: 2 * x
        classes: {7: 0.1, 9: 2}         # how often a class comes, relative to its share in the set (default: 1)

Every number of a source is a formula. It may use t, the tick from 0; x, which goes from 0 to 1 over the simulation;
rand, a number in [0, 1) drawn anew for each tick and formula; pi; and the functions of drift.traffic.formulas. A
negative weight, or class, counts as 0.
"""

import re
import reprlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from digits.data.hands import HANDS, SYNTHETIC
from drift.traffic import effects, formulas, simulation
from drift.traffic.simulation import Scenario, ScenarioError, Simulation, Source, play, stream

__all__ = ["Scenario", "ScenarioError", "Simulation", "Source", "names", "play", "read", "stream"]

FOLDER = Path(__file__).with_name("scenarios")
MOST_TICKS = 10_000_000  # more than a day, at a hundred a second
MOST_SOURCES = 20
_FIELDS = ("description", "seed", "ticks", "start", "step", "sources")
_OF_SOURCE = ("weight", "digits", "effects", "classes")
_FORMULA_NAMES = ("t", "x", "rand")
_NAME = re.compile(rf"(?!{SYNTHETIC})[A-Za-z][A-Za-z0-9_-]{{0,29}}")


class _Wrong(Exception):
    """What is wrong with a field, and the remedy: `field: told`."""


def read(named: str | Path, **changes: Any) -> Scenario:
    """The scenario in a file, or the one of drift/traffic/scenarios of that name; `changes` replace fields of it.

    Raises ScenarioError: also where a formula cannot be worked out at one of the ticks.
    """
    file = Path(named)
    if file.suffix not in (".yml", ".yaml"):
        file = FOLDER / f"{named}.yml"
        if not file.is_file():
            raise ScenarioError(f"no scenario is called {named}; choose {', '.join(names())}, or name a .yml file")
    try:
        document = _document(file)
        document.update({field: value for field, value in changes.items() if value is not None})
        scenario = _scenario(document, file)
        simulation.check(scenario)
    except _Wrong as error:
        raise ScenarioError(" ".join(f"{file}: {error}".split())) from error
    return scenario


def names() -> list[str]:
    """The scenarios that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.yml"))


def _document(file: Path) -> dict[Any, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML of which a second field of the same name is a mistake, and not silently the only one."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            fields = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
                if isinstance(key, yaml.ScalarNode) and key.value in fields:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value} stands there twice", key.start_mark
                    )
                fields.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            return super().construct_mapping(node, deep)

    try:
        document = yaml.load(file.read_text(encoding="utf-8"), Loader)  # noqa: S506
    except UnicodeDecodeError as error:
        raise _Wrong("is not UTF-8 text; save it as such") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise _Wrong(f"{place}is not YAML: {getattr(error, 'problem', None) or error}") from error
    # PyYAML's own for what looks like a date, a number or a nested list, and is none: 2025-13-01, !!int "", [[[[...
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _Wrong(f"is not YAML that can be read: {type(error).__name__}: {error}") from error
    if not isinstance(document, dict):
        raise _Wrong(f"is not a scenario; it needs the fields {', '.join(_FIELDS)}")
    return document


def _scenario(document: dict[Any, Any], file: Path) -> Scenario:
    _only(document, _FIELDS, "", "is not a field; a scenario has")
    description = document.get("description") or ""
    if not isinstance(description, str | int | float):
        raise _Wrong(f"description: {_shown(description)} is not a text; put it in quotes")
    sources = document.get("sources")
    if not isinstance(sources, dict) or not sources:
        raise _Wrong(f"sources: name at least one of {', '.join(HANDS)}, with a formula for its weight")
    if len(sources) > MOST_SOURCES:
        raise _Wrong(f"sources: are {len(sources)}; there may be {MOST_SOURCES}")
    start, step = _start(document.get("start", "2025-01-01")), _step(document.get("step", "1 day"))
    ticks = _whole(document, "ticks", 100, 1, MOST_TICKS)
    try:
        _ = start + ticks * step
    except OverflowError as error:
        raise _Wrong(f"step: {ticks} of them reach past the year 9999; use fewer or shorter") from error
    return Scenario(
        name=file.stem,
        description=_text(description, "description"),
        seed=_whole(document, "seed", 0, 0, 2**32 - 1),
        ticks=ticks,
        start=start,
        step=step,
        sources={name: _source(name, said) for name, said in sources.items()},
        file=file,
    )


def _source(name: Any, said: Any) -> Source:
    field = f"sources.{_key(name)}"
    if not isinstance(said, dict):
        if name not in HANDS:
            raise _Wrong(
                f"{field}: is not a source; choose from {', '.join(HANDS)}, or say with `weight` and `digits` "
                "which of them it is made of"
            )
        return Source(_formula(said, field), name, {}, {})
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _Wrong(f"{field}: is no name; use up to 30 letters, digits, - and _, with a letter first")
    _only(said, _OF_SOURCE, f"{field}.", "is not a field; a source has")
    if "weight" not in said:
        raise _Wrong(f"{field}.weight: is missing; give it a formula, such as 0.1 + 0.1 * rand")
    digits = said.get("digits", name)
    if not isinstance(digits, str) or digits not in HANDS:
        told = f"{_shown(digits)} is no set of digits" if "digits" in said else "is missing"
        raise _Wrong(f"{field}.digits: {told}; choose from {', '.join(HANDS)}")
    if name in HANDS and digits != name:
        raise _Wrong(f"{field}.digits: are those of {digits}; call the source by another name than a set's")
    return Source(
        _formula(said["weight"], f"{field}.weight"),
        digits,
        _effects(said.get("effects", {}), f"{field}.effects"),
        _classes(said.get("classes", {}), f"{field}.classes"),
    )


def _effects(said: Any, field: str) -> dict[str, str]:
    if not isinstance(said, dict):
        raise _Wrong(f"{field}: {_shown(said)} is no list of effects with their numbers, such as {{slant: 0.4}}")
    _only(said, tuple(effects.EFFECTS), f"{field}.", "is not an effect; choose from")
    found = {}
    for name, value in said.items():
        effect = effects.EFFECTS[name]
        if isinstance(value, bool) and effect.switch:
            value = int(value)
        found[name] = _formula(value, f"{field}.{name}", f"; {simulation.wanted(name)}")
        # A formula may leave the range where the source does not write, a number is wrong in any case.
        if isinstance(value, int | float) and not effect.low <= value <= effect.high:
            raise _Wrong(f"{field}.{name}: is {_shown(value)}; {simulation.wanted(name)}")
    if effects.UNIT in found and list(found)[-1] != effects.UNIT:
        raise _Wrong(f"{field}.{effects.UNIT}: comes last; the other effects are of grey levels from 0 to 255")
    return found


def _classes(said: Any, field: str) -> dict[int, str]:
    if not isinstance(said, dict):
        raise _Wrong(f"{field}: {_shown(said)} is no list of classes and how often they come, such as {{7: 0.5}}")
    for label in said:
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < simulation.CLASSES:
            raise _Wrong(f"{field}.{_key(label)}: is no class; classes are 0 to 9")
    return {label: _formula(often, f"{field}.{label}") for label, often in said.items()}


def _formula(value: Any, field: str, remedy: str = ", such as 0.1 + 0.1 * rand") -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong(f"{field}: needs a formula{remedy}")
    try:
        formulas.check(formula := _text(value, field), _FORMULA_NAMES)
    except formulas.FormulaError as error:
        raise _Wrong(f"{field}: {error}") from error
    return formula


def _text(value: Any, field: str) -> str:
    try:
        return str(value)
    except ValueError as error:  # a whole number of thousands of digits
        raise _Wrong(f"{field}: is too long a number") from error


def _only(document: dict[Any, Any], known: tuple[str, ...], field: str, told: str) -> None:
    for key in document:
        if not isinstance(key, str) or key not in known:
            raise _Wrong(f"{field}{_key(key)}: {told} {', '.join(known)}")


def _whole(document: dict[Any, Any], field: str, default: int, least: int, most: int) -> int:
    value = document.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _Wrong(f"{field}: {_shown(value)} is not a whole number from {least} to {most:,}")
    return value


def _start(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(str(value) if isinstance(value, int) else value).replace(tzinfo=None)
    except (ValueError, TypeError) as error:
        raise _Wrong(f"start: {_shown(value)} is not a date such as 2025-01-01") from error


def _step(value: Any) -> timedelta:
    text = value.strip() if isinstance(value, str) else ""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(minute|hour|day|week)s?", text)
    try:
        step = timedelta(**{f"{found[2]}s": float(found[1])}) if found else timedelta(0)
    except OverflowError:
        step = timedelta(0)
    if not step:
        raise _Wrong(f"step: {_shown(value)} is not a length of time such as 1 day, 6 hours or 30 minutes")
    return step


def _key(key: Any) -> str:
    return key if isinstance(key, str) and len(key) <= 40 else _shown(key)


def _shown(value: Any) -> str:
    """A value as a message has it: short, for YAML's aliases can make it a million times as long as its file."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
