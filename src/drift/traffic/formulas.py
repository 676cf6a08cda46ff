"""Formulas of numbers, such as `0.5 * sin(pi * x)`, worked out without ever running what a file says as a program.

Numbers, + - * / **, brackets, the names and functions below, and nothing else.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping

import numpy as np

LONGEST = 1000  # characters: more is no formula, and could nest deeper than Python can


def between(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """1 where low <= value < high, 0 elsewhere."""
    return np.asarray((low <= value) & (value < high), float)


def since(value: np.ndarray, low: np.ndarray) -> np.ndarray:
    """1 where value >= low, 0 elsewhere."""
    return np.asarray(value >= low, float)


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "between": between,
    "since": since,
}
ARGUMENTS = {"min": 2, "max": 2, "between": 3, "since": 2}  # the others take one

_BINARY: dict[type[ast.operator], Callable[..., np.ndarray]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[..., np.ndarray]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class FormulaError(ValueError):
    """A formula that cannot be worked out; the message says which part of it, and what is possible."""


def evaluate(formula: str, names: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values (n,) of `formula`, where `names` maps the names it may use to values (n,); `pi` is always one.

    Raises FormulaError, also where a value is not finite: at the tick that the name t has there.
    """
    values = np.broadcast_to(_values(formula, names), np.broadcast_shapes(*(v.shape for v in names.values())))
    if not (finite := np.isfinite(values)).all():
        place = int(np.argmin(finite))
        raise FormulaError(f"is not finite at tick {int(names['t'][place]) if 't' in names else place}")
    return values


def check(formula: str, names: Iterable[str]) -> None:
    """Raises FormulaError if `formula` is none, or uses other names than these; whatever its values are."""
    _values(formula, dict.fromkeys(names, np.zeros(1)))


def _values(formula: str, names: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(formula) > LONGEST:
        raise FormulaError(f"longer than {LONGEST} characters")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
        with np.errstate(all="ignore"):  # told by `evaluate`, with its place
            return _value(tree, {"pi": np.asarray(np.pi), **names})
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        if isinstance(error, FormulaError):
            raise
        raise FormulaError(f"{formula!r} is not a formula") from error


def _value(node: ast.expr, names: Mapping[str, np.ndarray]) -> np.ndarray:
    match node:
        # Floats only: of integers, 9**9**9 would fill the memory.
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.asarray(number, float)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, names))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            if len(arguments) != (wanted := ARGUMENTS.get(name, 1)):
                raise FormulaError(f"{name} takes {wanted} arguments, not {len(arguments)}")
            return FUNCTIONS[name](*(_value(argument, names) for argument in arguments))
    raise FormulaError(
        f"{ast.unparse(node)!r} is not allowed; use numbers, + - * / **, {', '.join([*names, *FUNCTIONS])}"
    )
