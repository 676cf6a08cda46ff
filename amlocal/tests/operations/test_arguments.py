"""Every operation of LocalMLClient, given what is missing or of another kind, says so in one line."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import (
    AmlCompute,
    BatchEndpoint,
    Data,
    Environment,
    Index,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
)

from amlocal.client import LocalMLClient
from amlocal.core.errors import NotEmulated, UserError

HOMES = (
    "components",
    "compute",
    "data",
    "datastores",
    "environments",
    "jobs",
    "models",
    "online_deployments",
    "online_endpoints",
    "schedules",
    "workspaces",
)
# What none of them may say: it is from the inside.
INSIDE = ("None:", "NoneType", "object at 0x", "\n")


def things() -> Iterator[tuple[str, Any]]:
    yield from (("None", None), ("an empty text", ""), ("a number", 7), ("a list", ["a"]), ("a dictionary", {"a": 1}))
    yield from (("an object", object()), ("a path", Path("x")), ("a text", "gone"), ("a way out", "a/../../b"))
    yield "a Model", Model(name="m")
    yield "a Data", Data(name="d")
    yield "an Environment", Environment(name="e")
    yield "a BatchEndpoint", BatchEndpoint(name="b")
    yield "a Compute", AmlCompute(name="c")
    yield "a job", command(command="x")
    yield "a deployment", ManagedOnlineDeployment(name="blue", endpoint_name="gone")


def operations(client: LocalMLClient) -> Iterator[tuple[str, Callable[..., Any], list[inspect.Parameter]]]:
    """Every public method that has arguments."""
    for home in HOMES:
        for name, method in inspect.getmembers(getattr(client, home), inspect.ismethod):
            if not name.startswith("_"):
                yield f"{home}.{name}", method, list(inspect.signature(method).parameters.values())


def outcome(method: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """What a call says; "" if it does not complain. Whatever else is raised is raised on."""
    try:
        result = method(*args, **kwargs)
        if inspect.isgenerator(result):
            list(result)
    except UserError as error:
        return str(error)
    except Exception as error:
        if type(error).__module__.startswith(("azure.", "marshmallow.")):  # what a caller of MLClient expects
            return str(error).partition("\n")[0]
        raise
    return ""


@pytest.mark.parametrize(("kind", "thing"), list(things()), ids=lambda value: value if isinstance(value, str) else "")
def test_something_else_in_the_place_of_an_argument(client: LocalMLClient, kind: str, thing: Any) -> None:
    for called, method, parameters in operations(client):
        if called == "workspaces.begin_delete":
            continue
        needed = [each for each in parameters if each.default is each.empty]
        required = [each for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD]
        named = [each.name for each in needed if each.kind is each.KEYWORD_ONLY]
        optional = [
            each.name for each in parameters if each.default is not each.empty and each.name != "list_view_type"
        ]
        if not required:
            continue
        calls = [{}] if isinstance(thing, str) else [{}, *({name: thing} for name in optional)]
        for more in calls:
            given = "gone" if more else thing
            try:
                said = outcome(method, *[given] * len(required), **dict.fromkeys(named, given), **more)
            except Exception as error:
                error.add_note(f"{called}({kind}, {more})")
                raise
            assert not any(each in said for each in INSIDE), (called, said)


def test_what_is_said(client: LocalMLClient) -> None:
    said = outcome(client.models.get, None)
    assert said == "Model operations: get: name must be a text, not None"
    assert outcome(client.models.get, "") == "Model operations: get: name is empty; give a name"
    said = outcome(client.models.create_or_update, Data(name="d"))
    assert said == "Model operations: create_or_update takes azure-ai-ml's Model, not a Data"
    assert outcome(client.models.create_or_update, Model(name="m")).startswith('model "m": path: required')
    assert outcome(client.data.create_or_update, Data(name="d")).startswith('data "d": path: required')
    for place in ("gone.json", Path("gone.json")):
        told = outcome(client.online_endpoints.invoke, "gone", request_file=place)
        assert "must be" not in told, "a file may be a text or a path"
    assert outcome(client.models.get, "m", version=7).startswith('model "m" was not found'), "a version may be one"


@pytest.mark.parametrize(
    "entity",
    [
        Index(name="i", path="."),
    ],
    ids=lambda entity: type(entity).__name__,
)
def test_what_exists_in_azure_only_is_said_to(client: LocalMLClient, entity: Any) -> None:
    for method in (client.create_or_update, client.begin_create_or_update):
        with pytest.raises(NotEmulated, match=f"a {type(entity).__name__} is not emulated on this machine"):
            method(entity)


def test_another_kind_of_entity_is_refused_as_mlclient_does(client: LocalMLClient) -> None:
    for entity in (ManagedOnlineEndpoint(name="end"), BatchEndpoint(name="end")):
        with pytest.raises(TypeError, match="create_or_update takes a Job, Model"):
            client.create_or_update(entity)
