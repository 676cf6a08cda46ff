"""One node of a job becomes a Step, checked as Azure would check it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.core.errors import Absent, UserError
from amlocal.core.names import texts
from amlocal.core.workspace import Workspace
from amlocal.specs.expressions import references
from amlocal.specs.literals import suggestion
from amlocal.specs.load import at, has_field
from amlocal.specs.placed import ANONYMOUS, BROKEN, Faults, Placed, called, check_defaults, flat, source_of, typed
from amlocal.specs.plan import Binding, Output, Step
from amlocal.specs.settings import distribution_of, environment_of

# Where a node or a component may have what it runs.
HOLDERS = ("", "task.", "component.", "trial.", "component.task.")


class Node(Placed):
    """A node that runs a command, on its way to a Step. name: the step's in the plan.

    The kinds of nodes that run something else derive from it, and override what differs (`specs.kinds`).
    """

    alone = True  # whether it can be a job, outside a pipeline

    def __init__(
        self, node: Any, name: str, prefix: str, source: Path, base: Path, workspace: Workspace, component: Any
    ) -> None:
        super().__init__(prefix, source, base, workspace)
        self.node, self.name, self.component = node, name, component
        self.called = called(component, source)
        self.component_source = source_of(component, source)

    @classmethod
    def component_of_job(cls, job: Any) -> Any:
        """What a job by itself runs, as a component, or the name of one."""
        return job.component

    @classmethod
    def complete(cls, shown: dict[str, Any], step: Step, as_job: bool) -> None:
        """Write into `shown`, a job's or a node's dictionary as azure-ai-ml makes it, what it gets wrong: paths.

        as_job: whether it is a job by itself, not a node.
        """
        if as_job and shown.get("code"):
            shown["code"] = step.code

    # -- what a kind of nodes may override

    @property
    def task(self) -> Any:
        """What has the code and the environment."""
        return self.component

    @property
    def command(self) -> str:
        return self.component.command

    @property
    def timeout(self) -> Any:
        """Seconds, or None."""
        limits = getattr(self.node, "limits", None)
        return limits and limits.timeout

    @property
    def known(self) -> dict[str, Mapping[str, Any]]:
        """What an expression may refer to."""
        return {"inputs": self.inputs, "outputs": self.outputs}

    def settings(self) -> dict[str, Any]:
        """What the plan keeps for this kind alone. Raises UserError where the node is not sound."""
        self.check_expressions("command", self.command)
        return {}

    def checks(
        self, settings: Mapping[str, Any], inputs: Mapping[str, Binding], code: str | None
    ) -> Sequence[Callable[[], None]]:
        """What is checked when all of these are known; each may raise UserError."""
        return ()

    # -- common

    @property
    def inputs(self) -> Mapping[str, Any]:
        return flat(self.component.inputs)

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.component.outputs

    @property
    def instances(self) -> int:
        """How many machines the node asks for."""
        resources = self.own("resources")
        count = (
            resources.get("instance_count")
            if isinstance(resources, dict)
            else getattr(resources, "instance_count", None)
        )
        return int(count) if count else 1

    @property
    def place(self) -> Placed:
        """Where the node itself stands, for what is told about its inputs."""
        return self

    def own(self, field: str) -> Any:
        """A setting of the node, or where it has none, of its component."""
        mine = getattr(self.node, field, None)
        # a node of azure-ai-ml's answers {} for what it does not know
        return mine if mine not in (None, {}) else getattr(self.component, field, None) or None

    def step(self, given: Mapping[str, Binding], outputs: dict[str, Output], faults: Faults) -> Step | None:
        """The checked step; None, with the reasons among `faults`, when it is not sound."""
        component, node = self.component, self.node
        before = faults.broken
        check_defaults(component, self.component_error, faults)
        inputs: dict[str, Binding] = {}
        for name, declared in self.inputs.items():
            inputs[name] = BROKEN
            with faults.gathering():
                inputs[name] = self.binding(name, declared, given)
        code, environment, distribution, settings = None, None, None, None
        with faults.gathering():
            settings = self.settings()
        if self.task is not None:
            with faults.gathering():
                code = self._code(self.task)
            with faults.gathering():
                if self.task.environment is None:
                    raise self.component_error("environment", "required, and not there")
                environment = environment_of(self.task.environment, self.component_source)
                if problem := faults.environment_problem(environment):
                    raise problem.reworded(str(self.component_error("environment", str(problem))))
            with faults.gathering():
                self._check_includes()
        with faults.gathering():
            distribution = distribution_of(self.own("distribution"), self.instances, self)
        for check in self.checks(settings, inputs, code) if settings is not None else ():
            with faults.gathering():
                check()
        if faults.broken > before:
            return None
        variables = {
            **(getattr(component, "environment_variables", None) or {}),
            **(getattr(node, "environment_variables", None) or {}),
        }
        notices = []
        if getattr(node, "services", None):
            notices.append(f"services ({', '.join(node.services)}): started in Azure only; this job runs without them")
        return Step(
            name=self.name,
            includes=tuple(self.includes()),
            command=self.command,
            code=code,
            environment=environment,
            inputs=inputs,
            outputs=outputs,
            environment_variables=texts(variables),
            display_name=node.display_name or getattr(component, "display_name", None),
            component=f"{component.name}:{component.version or 1}" if component.name != ANONYMOUS else None,
            deterministic=getattr(component, "is_deterministic", None) is not False,
            timeout=float(self.timeout) if self.timeout else None,
            notices=tuple(notices),
            distribution=distribution,
            type=node.type,
            settings=settings or {},
        )

    def component_error(self, field: str, message: str) -> UserError:
        """A fault of what the node runs: in the component's own file, or, defined in place, in the node."""
        prefix = self.prefix if self.component_source == self.source else ""
        fields = [f"{prefix}{holder}{field}" for holder in HOLDERS]
        field = next((one for one in fields if has_field(self.component_source, one)), fields[0])
        return UserError(f"{at(self.component_source, field)}: {message}")

    def binding(self, name: str, declared: Mapping[str, Any], given: Mapping[str, Binding]) -> Binding:
        """What the input called `name` is bound to, defaults and the declared type considered."""
        return typed(name, declared, given.get(name), self, self.called)

    def includes(self) -> Iterator[str]:
        """What `additional_includes` puts beside the code."""
        for include in getattr(self.component, "additional_includes", None) or []:
            if not isinstance(include, str):
                error = self.component_error("additional_includes", "artifact feeds are not emulated")
                raise Absent(str(error))
            yield str((Path(getattr(self.component, "base_path", None) or self.base) / include).resolve())

    def _check_includes(self) -> None:
        """Raises UserError for one that is not there; a folder may be given as the zip file that is made of it."""
        given_includes = getattr(self.component, "additional_includes", None) or []
        for given, path in zip(given_includes, map(Path, self.includes()), strict=True):
            zipped = path.suffix == ".zip" and path.with_suffix("").is_dir()
            if not path.exists() and not zipped:
                raise self.component_error("additional_includes", f"no such file or folder: {given}")

    def _code(self, task: Any) -> str | None:
        code = task.code
        if code is None:
            return None
        base = Path(getattr(self.node, "_base_path", None) or self.base)
        if task is self.component or task is getattr(self.component, "task", None):
            base = Path(getattr(self.component, "base_path", None) or base)
        path = (base / str(code).removeprefix("file:")).resolve()
        if not path.exists():
            git = str(code).startswith("git+")
            told = "Azure does not support Git paths; give a folder" if git else f"no such folder: {code}"
            raise self.component_error("code", told)
        return str(path)

    def check_expressions(self, field: str, text: str | None) -> None:
        known = self.known
        for reference in references(text or ""):
            group, *rest = reference.parts
            if group not in known or not rest:
                places = " and ".join(f"${{{{{place}.NAME}}}}" for place in known)
                problem = f"a command knows {places}"
            elif (named := ".".join(rest)) not in known[group]:
                problem = f'no {group.removesuffix("s")} is called "{named}"{suggestion(named, known[group])}'
            else:
                continue
            raise self.component_error(field, f"{reference}: {problem}")
