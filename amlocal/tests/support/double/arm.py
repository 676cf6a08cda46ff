"""ARM's grammar: resources that are put, got, listed, patched and deleted by id, and operations that take a while.

One store serves every noun. What a noun does beyond that (a check, a property that the service fills in) hangs on
its type as a hook; whatever is no resource has a route of its own in another file.
"""

import copy
import datetime
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .web import Refusal, Request, Response, Unknown, ml_refusal

if TYPE_CHECKING:
    from . import Double

Resource = dict[str, Any]
Hook = Callable[[Request, Resource], Any]

ML = "Microsoft.MachineLearningServices"
PAGE = 30
# When to poll next. Azure says seconds.
SOON = {"x-ms-retry-after-ms": "20"}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


class Id:
    """An ARM id taken apart: `type` is `Microsoft.X/a/b` with its segments joined, `names` their names."""

    def __init__(self, path: str) -> None:
        self.path = re.sub("/resourcegroups/", "/resourceGroups/", path.rstrip("/"), flags=re.IGNORECASE)
        scope, found, rest = self.path.rpartition("/providers/")
        namespace, *pairs = rest.split("/")
        self.scope = scope
        self.type = "/".join([namespace, *pairs[0::2]])
        self.names = pairs[1::2]
        self.is_list = len(pairs) % 2 == 1
        self.known = bool(found) and bool(pairs)

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def parent(self) -> str:
        return self.path.rsplit("/", 2)[0]


class Empty(Refusal):
    """A refusal without a word."""

    def __init__(self, status: int) -> None:
        super().__init__(status, "", "")
        self.response = Response(status)


class Operation:
    """Work that a client polls for: `steps` are the answers to its polls, the last one for ever."""

    def __init__(self, id: str, steps: Iterable[Any]) -> None:
        self.id, self.name, self.steps, self.polls = id, id.rpartition("/")[2], list(steps), 0
        self.started = now()

    def poll(self) -> Response:
        step = self.steps[min(self.polls, len(self.steps) - 1)]
        self.polls += 1
        if callable(step):
            step = step()
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Response):
            return Response(step.status, step.body, {**step.headers, **SOON})
        if isinstance(step, str):
            step = {"status": step}
        over = step["status"] in ("Succeeded", "Failed", "Canceled")
        times = {"startTime": self.started, "endTime": now() if over else "0001-01-01T00:00:00+00:00"}
        percent = {"percentComplete": 100.0 if over else 0.0}
        return Response(200, {"id": self.id, "name": self.name} | times | percent | step, SOON)


class Store:
    """Every ARM resource the double holds, by id."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.resources: dict[str, Resource] = {}
        self.kinds: set[str] = set()  # types that exist, in lower case; any other is a request not known
        self.operations: dict[str, Operation] = {}
        self.before_put: dict[str, list[Hook]] = {}
        self.after_put: dict[str, list[Hook]] = {}
        self.before_delete: dict[str, list[Hook]] = {}
        self._numbers = itertools.count(1)
        for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD"):
            double.route(method, "/subscriptions/{scope*}/providers/{rest*}")(self.answer)
        double.route("GET", "/operations/{name}")(self.answer_operation)

    def allow(self, *kinds: str) -> None:
        """Make types of resource known."""
        self.kinds.update(kind.lower() for kind in kinds)

    # -- what other files use ----------------------------------------------------------------------------------------

    def get(self, path: str) -> Resource | None:
        return self.resources.get(path.rstrip("/").lower())

    def put(self, path: str, body: Mapping[str, Any]) -> Resource:
        """Keep a resource as ARM would answer it; without hooks."""
        place = Id(path)
        before = self.get(path)
        created = (
            before["systemData"] if before else {"createdAt": now(), "createdBy": "double", "createdByType": "User"}
        )
        resource = {
            **copy.deepcopy(dict(body)),
            "id": place.path,
            "name": place.name,
            "type": place.type,
            "systemData": created | {"lastModifiedAt": now(), "lastModifiedBy": "double", "lastModifiedByType": "User"},
        }
        resource.setdefault("properties", {})
        self.resources[place.path.lower()] = resource
        return resource

    def delete(self, path: str) -> None:
        """Remove a resource and all that lies under it."""
        key = path.rstrip("/").lower()
        for other in [other for other in self.resources if other == key or other.startswith(key + "/")]:
            del self.resources[other]

    def collection(self, path: str) -> list[Resource]:
        """The resources directly in a collection (`.../workspaces/w/jobs`), newest first."""
        key = path.rstrip("/").lower() + "/"
        found = [
            one for name, one in list(self.resources.items()) if name.startswith(key) and "/" not in name[len(key) :]
        ]
        return found[::-1]

    def of_type(self, kind: str, scope: str = "") -> list[Resource]:
        found = [one for one in list(self.resources.values()) if one["type"].lower() == kind.lower()]
        return [one for one in found if one["id"].lower().startswith(scope.lower())]

    def start(self, *steps: Any) -> dict[str, str]:
        """Begin an operation that says how it stands; returns the headers by which a client finds it."""
        return {"Azure-AsyncOperation": self.begin(steps or ["Succeeded"])} | SOON

    def start_both(self, *steps: Any) -> dict[str, str]:
        """The headers of an operation that says how it stands, and of where its result will be."""
        return self.start(*steps) | {"Location": self.begin([Response(202), Response(200)])}

    def start_location(self, result: Response | None = None) -> dict[str, str]:
        """The same of an operation that is over, with this result, when it is no longer only accepted (202)."""
        return {"Location": self.begin([Response(202, {}), result or Response(200)])} | SOON

    def begin(self, steps: Iterable[Any]) -> str:
        place = f"/subscriptions/{self.double.subscription}/providers/{ML}/locations/{self.double.location}"
        operation = Operation(f"{place}/mfeOperationsStatus/operation-{next(self._numbers)}", steps)
        self.operations[operation.name] = operation
        return f"{self.double.url}/operations/{operation.name}?api-version=1"

    def hook(self, when: dict[str, list[Hook]], kind: str) -> Callable[[Hook], Hook]:
        """Decorator: call this `when` (`store.before_put`, ...) with every resource of a type."""

        def add(hook: Hook) -> Hook:
            when.setdefault(kind.lower(), []).append(hook)
            return hook

        return add

    # -- what clients ask --------------------------------------------------------------------------------------------

    def answer(self, request: Request, scope: str, rest: str) -> Any:
        if Id(request.path).type.lower() not in self.kinds:
            raise Unknown
        return getattr(self, "answer_" + request.method.lower())(request)

    def find(self, request: Request) -> Resource:
        found = self.get(request.path)
        if found is None:
            raise self.not_found(request)
        return found

    @staticmethod
    def not_found(request: Request) -> Exception:
        """ARM itself misses a workspace, the service what is in one; of a compute it says nothing at all."""
        place = Id(request.path)
        if not place.type.lower().startswith(f"{ML}/workspaces/".lower()):
            group = place.scope.rpartition("/")[2]
            message = (
                f"The Resource '{place.type}/{place.name}' under resource group '{group}' was not found. For more"
                " details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            return Refusal(404, "ResourceNotFound", message)
        noun = place.type.split("/")[2]
        if noun == "computes":
            return Empty(404)
        kind = {"data": "data", "onlineEndpoints": "onlineEndpoint"}.get(noun, noun.removesuffix("s"))
        named = place.names[1] if len(place.names) > 1 else place.name
        version = f" (version: {place.name})" if place.type.endswith("/versions") else ""
        title = f"{kind[0].upper()}{kind[1:]}NotFound"
        return ml_refusal(404, f"Not found {kind} {named}{version}.", "NotFound", title)

    def answer_get(self, request: Request) -> Any:
        place = Id(request.path)
        if not place.is_list:
            return self.find(request)
        if not place.names and "/resourceGroups/" not in place.path:
            return self.page(request, self.of_type(place.type, place.scope + "/"))
        owner = place.path.rpartition("/")[0]
        if len(place.names) and self.get(owner) is None:
            raise Refusal(404, "ResourceNotFound", f"The resource '{owner}' was not found.")
        return self.page(request, self.collection(place.path))

    def page(self, request: Request, found: list[Resource]) -> dict[str, Any]:
        """One page of a list, with the address of the next."""
        skip = int(request.query.get("$skip", 0))
        size = min(int(request.query.get("$top") or request.query.get("count") or PAGE), PAGE)
        answer: dict[str, Any] = {"value": found[skip : skip + size]}
        if skip + size < len(found):
            kept = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "$skip")
            answer["nextLink"] = f"{request.base}{request.path}?{kept}&$skip={skip + size}"
        return answer

    def make(self, path: str, body: Resource) -> Resource:
        """Put a resource as a client would: with the hooks of its type, and their refusals."""
        request = Request("PUT", "", "127.0.0.1", path, {}, {}, json.dumps(body).encode())
        self.answer_put(request)
        return self.find(request)

    def answer_put(self, request: Request) -> Response:
        place = Id(request.path)
        if place.is_list or not isinstance(request.body, dict):
            raise Refusal(400, "InvalidRequestContent", f"The request content for {request.path} is no resource.")
        workspace = "/".join(place.path.split("/")[:9])
        if place.type.startswith(ML) and place.path != workspace and self.get(workspace) is None:
            raise Refusal(404, "ResourceNotFound", f"The resource '{workspace}' was not found.")
        existed = self.get(request.path) is not None
        draft = copy.deepcopy(request.body)
        draft.setdefault("properties", {})
        for hook in self.before_put.get(place.type.lower(), []):
            answer = hook(request, draft)
            if answer is not None:
                return answer
        resource = self.put(request.path, draft)
        for hook in self.after_put.get(place.type.lower(), []):
            answer = hook(request, resource)
            if answer is not None:
                return answer
        again = 201 if place.type.endswith("/environments/versions") else 200  # which the service makes anew each time
        return Response(again if existed else 201, resource, self.location(request))

    def location(self, request: Request) -> dict[str, str]:
        """Where what was put is."""
        return {"Location": f"{self.double.url}{request.path}?api-version={request.query.get('api-version', '1')}"}

    def answer_patch(self, request: Request) -> Response:
        resource = self.find(request)
        merged = merge(resource, request.body or {})
        return Response(200, self.put(request.path, merged))

    def answer_delete(self, request: Request) -> Response:
        resource = self.get(request.path)
        if resource is None:
            return Response(204)
        for hook in self.before_delete.get(Id(request.path).type.lower(), []):
            answer = hook(request, resource)
            if answer is not None:
                return answer
        self.delete(request.path)
        return Response(200)

    def answer_head(self, request: Request) -> Response:
        return Response(204 if self.get(request.path) else 404)

    def answer_operation(self, request: Request, name: str) -> Response:
        operation = self.operations.get(name)
        if operation is None:
            raise Refusal(404, "OperationNotFound", f"There is no operation {name}.")
        return operation.poll()


def merge(one: Any, other: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return copy.deepcopy(other)
    merged = dict(one)
    for name, value in other.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
