"""One node of a job becomes a Step, checked as Azure would check it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace
from amlocal.specs.expressions import references
from amlocal.specs.literals import suggestion
from amlocal.specs.load import at
from amlocal.specs.placed import ANONYMOUS, Faults, Placed, called, flat, source_of, typed
from amlocal.specs.plan import Binding, Output, Step
from amlocal.specs.settings import distribution_of, environment_of


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
        before = len(faults.each)
        inputs: dict[str, Binding] = {}
        for name, declared in self.inputs.items():
            with faults.gathering():
                inputs[name] = self.binding(name, declared, given)
        code, environment, distribution, settings = None, None, None, None
        with faults.gathering():
            settings = self.settings()
        if self.task is not None:
            with faults.gathering():
                code = self._code(self.task)
            with faults.gathering():
                environment = environment_of(self.task.environment, self.component_source)
        with faults.gathering():
            distribution = distribution_of(self.own("distribution"), self.instances, self)
        for check in self.checks(settings, inputs, code) if settings is not None else ():
            with faults.gathering():
                check()
        if len(faults.each) > before:
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
            environment_variables={key: str(value) for key, value in variables.items()},
            display_name=node.display_name or getattr(component, "display_name", None),
            component=f"{component.name}:{component.version}" if component.name != ANONYMOUS else None,
            deterministic=getattr(component, "is_deterministic", None) is not False,
            timeout=float(self.timeout) if self.timeout else None,
            notices=tuple(notices),
            distribution=distribution,
            type=node.type,
            settings=settings or {},
        )

    def binding(self, name: str, declared: Mapping[str, Any], given: Mapping[str, Binding]) -> Binding:
        """What the input called `name` is bound to, defaults and the declared type considered."""
        return typed(name, declared, given.get(name), self, self.called)

    def includes(self) -> Iterator[str]:
        """What `additional_includes` puts beside the code."""
        for include in getattr(self.component, "additional_includes", None) or []:
            if not isinstance(include, str):
                raise UserError(f"{at(self.component_source, 'additional_includes')}: artifact feeds are not emulated")
            yield str((Path(getattr(self.component, "base_path", None) or self.base) / include).resolve())

    def _code(self, task: Any) -> str | None:
        code = task.code
        if code is None:
            return None
        base = Path(getattr(self.node, "_base_path", None) or self.base)
        if task is self.component or task is getattr(self.component, "task", None):
            base = Path(getattr(self.component, "base_path", None) or base)
        path = (base / str(code).removeprefix("file:")).resolve()
        if not path.exists():
            raise UserError(f"{at(self.component_source, 'code')}: no such folder: {code}")
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
            raise UserError(f"{at(self.component_source, field)}: {reference}: {problem}")
