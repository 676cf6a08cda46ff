"""What stands at a place in a job's file: how its faults are reported, how its literals and paths are read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.assets.store import Assets
from amlocal.core.errors import Absent, Problems, UserError
from amlocal.core.files import ignored_by_git
from amlocal.core.workspace import Workspace
from amlocal.specs.expressions import references, whole
from amlocal.specs.literals import literal_problem, suggestion
from amlocal.specs.load import at, revive
from amlocal.specs.plan import DATA_TYPES, FILE_TYPES, Binding, Output

TEMPLATES = ("name", "output_name", "default_datastore")  # what ${{...}} may stand for in the path of an output
ANONYMOUS = "azureml_anonymous"
UNSTATED_TYPE = "uri_folder"  # what azure-ai-ml makes of data that is given without a type
BUILT_IN_PYTHON = Path("(job built in Python)")


# Says what is wrong with an environment, given as plain data; None if nothing is.
EnvironmentProblem = Callable[[dict[str, Any] | None], UserError | None]

# Stands for an input whose fault has been told, so that what follows from it is not told as well.
BROKEN = Binding("broken")


class Faults:
    """What is wrong with a job, gathered so that one look shows everything."""

    def __init__(self, environment_problem: EnvironmentProblem | None = None) -> None:
        self.environment_problem = environment_problem or (lambda _: None)
        self.each: list[str] = []
        self.absent: dict[str, Absent] = {}  # those of them that say that something is not here
        self.forgiven: list[str] = []  # what Azure lets pass, though nobody can have meant it

    @contextmanager
    def gathering(self) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            told = error.each if isinstance(error, Problems) else [str(error)]
            self.each += [line for line in told if line not in self.each]
            if isinstance(error, Problems):
                self.absent |= error.absent
            elif isinstance(error, Absent):
                self.absent[str(error)] = error

    @property
    def broken(self) -> int:
        """How many make a plan impossible, whatever may yet appear."""
        return len(self.each) - len(self.absent)

    def is_note(self, line: str) -> bool:
        """Whether one of `each` only says that something is not here which Azure may have, or which is made later."""
        absent = self.absent.get(line)
        return absent is not None and (absent.path is None or ignored_by_git(absent.path))

    def unknown(self, noun: str, name: str, place: "Placed", known: Mapping[str, Any], called: str) -> None:
        """azure-ai-ml leaves out an input or output that the component does not declare, without a word."""
        error = place.error(f"{noun}s.{name}", f"{called} has no such {noun}{suggestion(name, known)}")
        self.forgiven.append(str(error))

    def raise_any(self) -> None:
        if self.each:
            raise Problems(self.each, self.absent)


def source_of(entity: Any, otherwise: Path = BUILT_IN_PYTHON) -> Path:
    """The file an entity was loaded from, for messages."""
    return Path(getattr(entity, "_source_path", None) or otherwise)


def data_of(value: Any) -> Any:
    """What was given for an input or output of a node; a binding made in Python comes as its `${{...}}`."""
    data = getattr(value, "_data", value)
    return data._data_binding() if hasattr(data, "_data_binding") else data


def reference_of(data: Any) -> Any:
    """The one reference that `data` (a text, or data whose path is one) consists of."""
    path = getattr(data, "path", None)
    return whole(path if isinstance(path, str) else data)


def type_of(data: Any) -> str | None:
    return None if isinstance(data, str) else getattr(data, "type", None)


def flat(inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Inputs by their names, those of a group by `group.name`.

    azure-ai-ml puts them within each other: of what a file calls `group.a`, and of a class that is marked `@group`.
    """
    found: dict[str, Any] = {}
    for name, value in (inputs or {}).items():
        data = getattr(value, "_data", value)
        if hasattr(type(data), "flatten"):  # a GroupInput, which declares, or a _GroupAttrDict, which gives
            members = data if isinstance(data, dict) else data.values
            found |= {f"{name}.{member}": each for member, each in flat(members).items()}
        else:
            found[name] = value
    return found


def written_inputs(node: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The inputs of a node as its file gives them, known to the component or not."""
    # azure-ai-ml drops what the component does not know; it is still among what the user wrote
    given = flat(node.inputs)
    for name in getattr(node, "_job_inputs", None) or {}:
        if not any(each == name or each.startswith(f"{name}.") for each in (*known, *given)):
            yield name, None
    for name, value in given.items():
        yield name, data_of(value)


def declared_type(declared: Any) -> str | None:
    """The type of a component's input or output: a mapping in files, an object where Python has made the component."""
    return declared.get("type") if isinstance(declared, Mapping) else type_of(declared)


class Placed:
    """Something that stands at a place in a file."""

    def __init__(self, prefix: str, source: Path, base: Path, workspace: Workspace) -> None:
        self.prefix, self.source, self.base, self.workspace = prefix, source, base, workspace

    def error(self, field: str, message: str) -> UserError:
        return UserError(f"{at(self.source, f'{self.prefix}{field}')}: {message}")

    def placed(self, field: str, error: UserError) -> UserError:
        """The same error with this place before it."""
        return error.reworded(str(self.error(field, str(error))))

    def literal_or_path(self, name: str, value: Any, declared: Any = None) -> Binding:
        """What is given for an input; declared: the input as a component declares it, where one does."""
        if value is None:
            return Binding("string")
        path = getattr(value, "path", None)
        if hasattr(value, "type") and not isinstance(value, str):
            if value.type in DATA_TYPES:
                kind = value.type
                if kind == UNSTATED_TYPE and (wanted := declared_type(declared)) in DATA_TYPES:
                    kind = str(wanted)
                if path is None:
                    raise self.error(f"inputs.{name}", f"a {kind} without a path; add `path:`")
                return Binding(kind, path=self.path(name, path, kind))
            return Binding(value.type, literal=None if value.default is None else str(value.default))
        return Binding("string", literal=str(value))

    def path(self, name: str, uri: str, kind: str) -> str:
        """Where an input lies: a path on this disk, or an address that is fetched when the step runs."""
        if not str(uri):  # azure-ai-ml's own words
            raise self.error(f"inputs.{name}", "Input path can't be empty for jobs.")
        try:
            # only a parallel step reads an MLTable itself; for others, as on Azure, it is a folder
            path = uris.locate(self.workspace, str(uri), self.base, "uri_folder" if kind == "mltable" else kind)
        except UserError as error:
            raise self.placed(f"inputs.{name}", error) from error
        if isinstance(path, str):
            return path
        if kind in ("uri_folder", "mltable") and not path.is_dir():
            raise self.error(f"inputs.{name}", f"{uri} is a file; a {kind} is a folder")
        if kind in FILE_TYPES and not path.is_file():
            raise self.error(f"inputs.{name}", f"{uri} is a folder; a {kind} is a file")
        return str(path)

    def output(self, name: str, kind: str | None, data: Any) -> Output:
        """What a step writes, at its own place or at one in a datastore."""
        path = getattr(data, "path", None)
        if path:
            for reference in references(path):
                if ".".join(reference.parts) not in TEMPLATES:
                    raise self.error(f"outputs.{name}", f"{reference}: a path knows {', '.join(TEMPLATES)}")
            try:
                stored = uris.DatastorePath.parse(path)
                if stored and stored.store != "${{default_datastore}}":
                    stored.place(self.workspace)
            except UserError as error:
                raise self.placed(f"outputs.{name}", error) from error
            if not stored:
                raise self.error(
                    f"outputs.{name}", f"{path}: not understood; use azureml://datastores/STORE/paths/PATH"
                )
        named = None if isinstance(data, str) else data
        version = getattr(named, "version", None)
        return Output(
            kind or "uri_folder", path, getattr(named, "name", None), None if version is None else str(version)
        )


def component_of(reference: str, workspace: Workspace) -> Any:
    """A component of the workspace, by any reference to one. Raises UserError."""
    named = uris.named_as("component", reference)
    spec = Assets(named.owner(workspace), "component").get(named.name, named.version, named.label)
    return revive("component", {key: value for key, value in spec.items() if key != "creation_context"})


def called(component: Any, source: Path, otherwise: str = "the command") -> str:
    """A component in words; one that was given as a file has lost its name to azure-ai-ml."""
    if component.name != ANONYMOUS:
        return f"component {component.name}"
    own = source_of(component, source)
    return f"component {own.name}" if own != source else otherwise


def check_defaults(component: Any, error: Callable[[str, str], UserError], faults: Faults) -> None:
    """Gather the inputs of a component whose own default is no value for them."""
    for name, declared in flat(component.inputs).items():
        default = declared.get("default") if hasattr(declared, "get") else None
        if default is None or str(declared.get("type")) in DATA_TYPES:
            continue
        if problem := literal_problem(str(default), declared):
            with faults.gathering():
                raise error(f"inputs.{name}.default", problem)


def typed(name: str, declared: Mapping[str, Any], binding: Binding | None, place: Placed, called: str) -> Binding:
    """`binding` as the declared input takes it. Raises UserError where it does not."""
    kind = str(declared.get("type") or "string")
    if binding is BROKEN:
        return binding
    if binding is None or binding.absent:
        default = declared.get("default")
        if default is not None:
            return Binding(kind, literal=str(default))
        if declared.get("optional"):
            return Binding(kind)
        raise place.error("inputs", f'{called} requires an input "{name}"; give it a value')
    if kind in DATA_TYPES:
        if binding.literal is not None:
            return Binding(kind, path=place.path(name, binding.literal, kind))
        return Binding(kind, path=binding.path, step=binding.step, output=binding.output)
    if binding.literal is None:
        if binding.step:  # a primitive that a step has written is not emulated, nor is data where a word is wanted
            raise place.error(f"inputs.{name}", f"{called} wants a {kind} here, not the output of a step")
        raise place.error(f"inputs.{name}", f"{called} wants a {kind} here, not data")
    problem = literal_problem(binding.literal, declared)
    if problem:
        raise place.error(f"inputs.{name}", problem)
    return Binding(kind, literal=binding.literal)
