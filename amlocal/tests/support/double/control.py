"""How a test steers and inspects a double that runs in another process: /double/..."""

from typing import TYPE_CHECKING, Any

from .web import Refusal, Request

if TYPE_CHECKING:
    from . import Double


def install(double: "Double") -> None:
    """GET and DELETE /double/requests, GET /double/unknown, GET and PUT /double/script {"jobs": ["Running"], ...}."""

    @double.route("GET", "/double/unknown")
    def unknown(request: Request) -> Any:
        return [one.summary() for one in double.unknown]

    @double.route("GET", "/double/requests")
    def requests(request: Request) -> Any:
        method, part = request.query.get("method"), request.query.get("path", "").lower()
        found = [one for one in list(double.requests) if not method or one.method == method.upper()]
        return [one.summary() for one in found if part in one.path.lower()]

    @double.route("DELETE", "/double/requests")
    def forget(request: Request) -> Any:
        double.requests.clear()
        double.unknown.clear()
        return {}

    @double.route("GET", "/double/script")
    def show(request: Request) -> Any:
        jobs = double.jobs
        return {"jobs": jobs.script, "log": jobs.log, "message": jobs.message, "refuse": double.endpoints.refusal}

    @double.route("PUT", "/double/script")
    def steer(request: Request) -> Any:
        """What a job goes through, says, and fails of; how deployments are refused. What is not named stays."""
        body = request.body or {}
        if odd := set(body) - set(show(request)):
            raise Refusal(400, "BadRequest", f"a script has {', '.join(show(request))}, not {', '.join(sorted(odd))}")
        double.jobs.script = list(body.get("jobs", double.jobs.script))
        double.jobs.log = body.get("log", double.jobs.log)
        double.jobs.message = body.get("message", double.jobs.message)
        if "refuse" in body:
            double.endpoints.refuse(body["refuse"])
        return show(request)
