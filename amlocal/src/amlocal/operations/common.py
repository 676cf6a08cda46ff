"""What the operations share: pollers, MLClient's exceptions, entities made of kept specs."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import Any, ClassVar, get_args, get_origin

from amlocal.core.errors import NotEmulated, NotFound, UserError
from amlocal.core.workspace import NOBODY, Workspace

# The methods whose first argument is one of azure-ai-ml's entities.
CHANGES = ("create_or_update", "begin_create_or_update", "begin_create", "begin_update", "validate")
NAMES = ("name", "endpoint_name")
ENDPOINT_NAMES = ("name", "endpoint_name", "deployment_name")


class Operations:
    """Base of the operations: what MLClient's have and ours have not is refused in one line, and so is what is given
    to a method in the place of something else.

    takes: the classes of `azure.ai.ml.entities` that the methods in `CHANGES` take.
    any_case: the arguments that name what Azure finds in any case; azure-ai-ml's entities have them in lower case.
    """

    takes: ClassVar[tuple[str, ...]] = ()
    any_case: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if isinstance(method, FunctionType) and not name.startswith("_"):
                setattr(cls, name, _with_arguments_checked(method))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = type(self).__name__.removesuffix("Operations")
        raise NotEmulated(f"{kind} operations: {name} is not emulated on this machine")


def _with_arguments_checked(method: FunctionType) -> Any:
    """The method, which raises UserError for an argument of another type than it is annotated with.

    For a name it is ResourceNotFoundError, as for every other name that nothing has.
    """

    @wraps(method)
    def checked_first(self: Any, *args: Any, **kwargs: Any) -> Any:
        called = f"{type(self).__name__.removesuffix('Operations')} operations: {method.__name__}"
        parameters = _parameters(method)
        given = {**dict(zip(list(parameters)[1:], args, strict=False)), **kwargs}
        for name, value in given.items():
            if name in parameters and not _fits(parameters[name], value):
                told = f"{called}: {name} must be {_words(parameters[name])}, not {_told(value)}"
                raise missing(NotFound(told)) if name in NAMES else UserError(told)
            if name in NAMES and value == "":
                raise missing(NotFound(f"{called}: {name} is empty; give a name"))
        if method.__name__ in CHANGES and given:
            _refuse_others(self.takes, called, next(iter(given.values())))
        if self.any_case:
            lower = {name: value.lower() for name, value in given.items() if name in self.any_case and value}
            args = tuple(lower.get(name, value) for name, value in zip(list(parameters)[1:], args, strict=False))
            kwargs = {name: lower.get(name, value) for name, value in kwargs.items()}
        return method(self, *args, **kwargs)

    return checked_first


def _refuse_others(takes: tuple[str, ...], called: str, thing: Any) -> None:
    if not takes:
        return
    from azure.ai.ml import entities

    functions = isinstance(thing, FunctionType) and "Component" in takes  # `@dsl.pipeline` and the like
    if not functions and not isinstance(thing, tuple(getattr(entities, each) for each in takes)):
        raise UserError(f"{called} takes azure-ai-ml's {' or '.join(takes)}, not {_told(thing)}")


@cache
def _parameters(method: FunctionType) -> dict[str, Parameter]:
    return dict(signature(method).parameters)


def _types(parameter: Parameter) -> tuple[Any, ...]:
    """The types that a parameter is annotated with."""
    hint = parameter.annotation
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _fits(parameter: Parameter, value: Any) -> bool:
    if parameter.kind is Parameter.VAR_KEYWORD:
        return True
    types = tuple(get_origin(each) or each for each in _types(parameter))
    if not all(isinstance(each, type) and each not in (Any, Parameter.empty) for each in types):
        return True
    number = parameter.name == "version" and isinstance(value, int)  # of a version that looks like one
    file = isinstance(value, PathLike) and parameter.name.endswith(("path", "file"))  # as azure-ai-ml takes them
    return isinstance(value, types) or value is parameter.default or number or file


def _words(parameter: Parameter) -> str:
    known = {str: "a text", int: "a whole number", bool: "True or False", dict: "a dictionary", Path: "a path"}
    types = [get_origin(each) or each for each in _types(parameter)]
    return " or ".join(known.get(each, each.__name__) for each in types if each is not NoneType)


def _told(value: Any) -> str:
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


class Poller:
    """What Azure's long operations return; here the work is done when it is made."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float | None = None) -> Any:
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        pass

    def done(self) -> bool:
        return True

    def status(self) -> str:
        return "Succeeded"


@contextmanager
def not_missing() -> Iterator[None]:
    """Raise what MLClient raises for a name that is not there."""
    try:
        yield
    except NotFound as error:
        raise missing(error) from error


def missing(error: NotFound) -> Exception:
    """The exception that MLClient raises for a name that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    return ResourceNotFoundError(str(error))


@contextmanager
def told_at_path(kind: str, item: Any) -> Iterator[None]:
    """Say of a refused path where it stands: in which line of which file, else in which asset."""
    try:
        yield
    except UserError as error:
        from amlocal.specs.load import at

        source = Path(getattr(item, "_source_path", None) or "")
        where = at(source, "path") if source.is_file() else f'{kind} "{item.name}": path'
        raise type(error)(f"{where}: {error}") from error


def refuse_taken(kind: str, name: str, version: str, there: Iterable[str], registry: Workspace) -> None:
    """Raises UserError, in azure-ai-ml's words, for a version that a registry has: nobody can share another as it."""
    if version in there:
        raise UserError(
            f"A {kind} with this name and version already exists in registry: {name}, version {version}, in"
            f' "{registry.name}"; give a higher --share-with-version'
        )


PRINCIPAL = ("principal_id", "tenant_id")


def principal(kind: str, name: str) -> dict[str, str]:
    """What Azure adds to an identity that it assigns: scripts give roles to the principal, the same one every time."""
    id = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{name}")
    return {"principal_id": str(id), "tenant_id": NOBODY}


def entity(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a spec that came from one."""
    from amlocal.specs.load import revive

    plain = {key: value for key, value in spec.items() if key not in ("creation_context", "id") and value is not None}
    return revive(kind, plain)


def created(context: Mapping[str, str]) -> Any:
    """azure-ai-ml's account of who has made something, and when; and who has changed it last."""
    from datetime import datetime

    from azure.ai.ml.entities import SystemData

    told: dict[str, Any] = dict(context)
    for moment in {"created_at", "last_modified_at"} & told.keys():
        told[moment] = datetime.fromisoformat(told[moment])
    return SystemData(**told)


def checked(kind: str, name: str, spec: dict[str, Any]) -> Any:
    """As `entity`, of a spec that somebody has changed. Raises UserError for what Azure's schema does not allow."""
    try:
        return entity(kind, spec)
    except UserError:
        raise
    except Exception as error:  # marshmallow's and azure-ai-ml's, each of its own kind
        raise UserError(f'{kind} "{name}": {one_line(error)}') from error


def one_line(error: Exception) -> str:
    """What is wrong, without the report in JSON and the advice for authors of files that azure-ai-ml puts around it."""
    from amlocal.specs.explain import plain_message
    from amlocal.specs.load import problems

    each = dict.fromkeys(f"{field}: {plain_message(said)}" for field, said in problems(error))
    return "; ".join(each) or plain_message(error)
