"""`aml quota`: what the subscription has room for, before Azure says no. An addition to the verbs of `az ml`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import positive, shared
from amlocal.core.errors import UserError

if TYPE_CHECKING:
    from amlocal.azure.quota import Finding, Limit, Need, Size

DOES_NOT_FIT = 3
ROWS = "limits[].{Limit:name, Used:used, Allowed:limit, Left:left}"
CHECKED = "[{Machines:need.instance_type, Instances:need.instance_count, Cores:need.cores, Left:left, Fits:fits}]"


def show(cmd: CLICommand, location: str | None = None) -> dict[str, Any] | None:
    from amlocal.azure.subscription import Subscription

    subscription = Subscription(target.azure(workspace=target.ANY if location else None), location)
    limits = [limit for limit in subscription.limits() if limit.used or limit.limit != 0]
    places = subscription.allowed_locations()
    if cmd.cli_ctx.invocation.data["output_asked_for"]:
        rows = [_limit(limit) for limit in limits]
        return {"allowed_locations": places, "limits": rows, "location": subscription.location}
    width = max((len(limit.name) for limit in limits), default=0)
    print(f"Cores for machine learning in {subscription.location}:\n")
    for limit in limits:
        print(f"  {limit.name:<{width}}  {_room(limit)}")
    print("\nEvery other family of machines: none." if limits else "  none at all: ask support for some")
    print(_places(places, subscription.location))
    return None


def check(
    cmd: CLICommand,
    file: str | None = None,
    instance_type: str | None = None,
    instance_count: int | None = None,
    location: str | None = None,
) -> dict[str, Any] | None:
    from amlocal.azure import quota
    from amlocal.azure.subscription import Subscription, need_of

    if not file and not instance_type:
        raise UserError("quota check: name a deployment, compute or job with --file, or a size with --instance-type")
    client = target.azure(workspace=target.ANY if location and not file else None)
    subscription = Subscription(client, location)
    need = need_of(subscription, Path(file) if file else None, instance_type, instance_count)
    limits, sizes = subscription.limits(), subscription.sizes
    finding = quota.check(need, limits)
    side_by_side = quota.rollout(need, limits) if need.managed else None
    smaller = [] if finding.fits else quota.fitting(need, sizes, limits)
    places = subscription.allowed_locations()
    cmd.cli_ctx.invocation.data["exit_code"] = 0 if finding.fits else DOES_NOT_FIT
    if cmd.cli_ctx.invocation.data["output_asked_for"]:
        return {
            "allowed_locations": places,
            "ask_for": [{"limit": name, "cores": cores} for name, cores in finding.asked],
            "fits": finding.fits,
            "fitting_instance_types": [size.name for size in smaller],
            "largest_instance_count": finding.largest_count,
            "left": finding.left,
            "limits": [_limit(limit) for limit in finding.limits],
            "location": subscription.location,
            "need": {"cores": need.cores, "instance_count": need.instances, "instance_type": need.size.name},
            "rollout": side_by_side and {"cores": side_by_side.need.cores, "fits": side_by_side.fits},
            "unlisted": list(finding.unlisted),
        }
    print("\n".join(sentences(finding, side_by_side, smaller, subscription.location)))
    print(_places(places, subscription.location))
    return None


def sentences(finding: "Finding", rollout: "Finding | None", smaller: "list[Size]", location: str) -> list[str]:
    """A finding as a person reads it: the answer first, then what would fit, then what to ask for."""
    need = finding.need
    lines = [f"{'Fits' if finding.fits else 'Does NOT fit'}: {_needs(need)}; {_left(finding)}."]
    lines += [f"Azure lists no limit called {name}, so it may still refuse." for name in finding.unlisted]
    if rollout and finding.fits:
        both = f"Blue and green side by side take {rollout.need.cores} cores"
        lines.append(f"{both}: {'that fits, too' if rollout.fits else 'that does not fit; replace blue in place'}.")
    if not finding.fits:
        count = finding.largest_count
        lines.append(f"Of {need.size.name} {f'at most {count}' if count else 'not even one'} would fit.")
        if smaller:
            some = ", ".join(f"{size.name} ({size.cores})" for size in smaller[:5])
            lines.append(f"One of these would (cores in brackets): {some}.")
        for name, cores in finding.asked:
            lines.append(f"Ask support for a limit of {cores} on {name} in {location} (portal: Quotas).")
        if need.managed:
            lines.append("Or let it fall back to this machine: aml online-deployment create --target auto -f FILE")
    return lines


def _needs(need: "Need") -> str:
    text = f"{need.instances} x {need.size.name} needs {need.cores} cores"
    if need.machines != need.instances:
        text += f" (Azure counts {need.machines} machines of {need.size.cores}: 20 % more, rounded up)"
    return text


def _left(finding: "Finding") -> str:
    if finding.left is None:
        return "nothing limits them"
    return " and ".join(f"{limit.name} has {_room(limit)}" for limit in finding.limits)


def _room(limit: "Limit") -> str:
    return "no limit" if limit.limit is None else f"{limit.left} of {limit.limit} left"


def _places(allowed: list[str] | None, location: str) -> str:
    if allowed is None:
        return "The subscription may use every region."
    here = "" if location.lower() in allowed else f", and {location} is NOT one of them"
    return f"The subscription may use only these regions{here}: {', '.join(allowed)}."


def _limit(limit: "Limit") -> dict[str, Any]:
    return {"left": limit.left, "limit": limit.limit, "name": limit.name, "used": limit.used}


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "quota", "amlocal.cli.nouns.quota#{}") as group:
        group.command("show", "show", table_transformer=ROWS)
        group.command("check", "check", table_transformer=CHECKED)


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "quota", "deployment, compute or job", "")
    with ArgumentsContext(loader, "quota") as c:
        c.argument(
            "location", options_list=["--location", "-l"], help="The region to ask about. Default: the workspace's."
        )
        c.argument("instance_type", options_list=["--instance-type", "-t"], help="A size, say Standard_D2as_v4.")
        c.argument(
            "instance_count",
            options_list=["--instance-count", "-c"],
            type=positive,
            help="How many instances. Default: the file's, else 1.",
        )


helps["quota"] = """
type: group
short-summary: See what the subscription has room for (an addition to `az ml`).
long-summary: Always about Azure, whatever the target.
"""
helps["quota show"] = """
type: command
short-summary: Show the cores that are used and left, by family of machines, and the regions that may be used.
examples:
  - name: What is left where the workspace is
    text: aml quota show
  - name: What there would be elsewhere, before there is a workspace
    text: aml quota show --location northeurope -o table
"""
helps["quota check"] = """
type: command
short-summary: Tell whether a deployment, a cluster or a job fits, and what would if it does not.
long-summary: Exit code 0 if it fits, 3 if not, 1 if that could not be found out.
examples:
  - name: Before deploying
    text: aml quota check -f deployment.yml
  - name: Would two larger machines fit?
    text: aml quota check --instance-type Standard_D2as_v4 --instance-count 2
  - name: For a script
    text: aml quota check -f aml/compute/cpu-cluster.yml --query fits -o tsv
"""
