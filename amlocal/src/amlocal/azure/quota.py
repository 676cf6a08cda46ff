"""Cores: how many a deployment or a cluster takes, how many the subscription has left, and what would fit instead.

Pure: it is given Azure's answers and returns findings. The rules are those of Microsoft's pages, read on 2026-11-30:
learn.microsoft.com/azure/machine-learning/how-to-manage-quotas (of 2026-01-27), for the sizes that are exempt
reference-managed-online-endpoints-vm-sku-list:

- A managed deployment takes ceil(1.2 x instances) times the cores of its size: Azure keeps 20 % more for upgrades, in
  whole instances. A few sizes with GPUs are exempt, no other is.
- A cluster takes the cores of each node that runs; a job needs those of the nodes that are yet to start for it.
- Both count against the family of the size and against the region's total; low priority, whose nodes
  are Spot, has a total of its own only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEDICATED = "Total Cluster Dedicated Regional vCPUs"
LOW_PRIORITY = "Total Cluster LowPriority Regional vCPUs"

# NC A100 v4, NC H100 v5, ND A100 v4, NDv2 and ND H100 v5, by the names of their sizes.
EXEMPT = re.compile(
    r"standard_(nc\d+ads_a100_v4|nc\d+adi?s_h100_v5|nd\d+(asr|amsr_a100)_v4|nd\d+rs_v2|nd\d+isr_h100_v5)"
)


@dataclass(frozen=True)
class Size:
    """A kind of machine; `family` is what its quota is counted by."""

    name: str
    family: str
    cores: int


@dataclass(frozen=True)
class Limit:
    """One line of the subscription's usage, in cores; `limit` None: there is none."""

    name: str
    used: int
    limit: int | None

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True)
class Need:
    """So many machines of a size, for a managed deployment or for a cluster."""

    size: Size
    instances: int
    managed: bool
    low_priority: bool = False

    @property
    def cores(self) -> int:
        return self.machines * self.size.cores

    @property
    def machines(self) -> int:
        """How many Azure counts: one and a fifth for each, rounded up, in a managed deployment."""
        if not self.managed or EXEMPT.fullmatch(self.size.name.lower()):
            return self.instances
        return -(-12 * self.instances // 10)  # in whole numbers: 1.2 * 5 must not become 6.000000000000001


@dataclass(frozen=True)
class Finding:
    """Whether a need fits. `limits` are those it counts against; `unlisted` those that Azure says nothing of."""

    need: Need
    limits: tuple[Limit, ...]
    unlisted: tuple[str, ...]

    @property
    def left(self) -> int | None:
        """The cores that are left under the tightest limit; None if nothing limits."""
        return min((limit.left for limit in self.limits if limit.left is not None), default=None)

    @property
    def fits(self) -> bool:
        """Also when Azure lists no limit: it will say so itself, and the fallback hears it."""
        return self.left is None or self.need.cores <= self.left

    @property
    def largest_count(self) -> int | None:
        """The most instances of this size that fit; None if nothing limits."""
        if self.left is None:
            return None
        count = self.left // self.need.size.cores
        while count and replaced(self.need, instances=count).cores > self.left:
            count -= 1
        return count

    @property
    def asked(self) -> list[tuple[str, int]]:
        """What to ask support for, so that it fits: (limit, its new value)."""
        return [
            (limit.name, limit.used + self.need.cores)
            for limit in self.limits
            if limit.limit is not None and limit.used + self.need.cores > limit.limit
        ]


def replaced(need: Need, **changes: Any) -> Need:
    return Need(**{**vars(need), **changes})


def check(need: Need, limits: Sequence[Limit]) -> Finding:
    """Compare a need with the limits it counts against."""
    names = [LOW_PRIORITY] if need.low_priority else [need.size.family, DEDICATED]
    by_key = {_key(limit.name): limit for limit in limits}
    found = {name: by_key.get(_key(name)) for name in names}
    return Finding(
        need,
        tuple(limit for limit in found.values() if limit),
        tuple(name for name, limit in found.items() if limit is None),
    )


def fitting(need: Need, sizes: Iterable[Size], limits: Sequence[Limit]) -> list[Size]:
    """The sizes of which one instance fits, the largest first; those without a limit of their own are left out."""
    tried = [(size, check(replaced(need, size=size, instances=1), limits)) for size in sizes]
    good = [size for size, finding in tried if finding.fits and not finding.unlisted]
    return sorted(good, key=lambda size: (-size.cores, size.name))


def rollout(need: Need, limits: Sequence[Limit]) -> Finding:
    """Blue and green side by side: each deployment is rounded up by itself."""
    one = check(need, limits)
    both = Size(need.size.name, need.size.family, 2 * need.size.cores)
    return Finding(replaced(need, size=both), one.limits, one.unlisted)


def limits_of(usages: Iterable[Mapping[str, Any]]) -> list[Limit]:
    """Azure's usage as limits. An entry without a name or a limit tells nothing; a negative limit is none."""
    found = []
    for usage in usages:
        name = usage.get("name") or {}
        text = (
            name
            if isinstance(name, str)
            else name.get("value") or name.get("localizedValue") or name.get("localized_value")
        )
        limit = usage.get("limit")
        if not text or not isinstance(limit, (int, float)):
            continue
        used = usage.get("currentValue", usage.get("current_value"))
        found.append(Limit(str(text), int(used or 0), None if limit < 0 else int(limit)))
    return found


def sizes_of(answers: Iterable[Mapping[str, Any]]) -> list[Size]:
    """Azure's list of sizes. Those without cores or a family are left out: nothing can be said of them."""
    found = []
    for answer in answers:
        cores = answer.get("vCPUs", answer.get("v_cp_us"))
        if answer.get("name") and answer.get("family") and cores:
            found.append(Size(str(answer["name"]), str(answer["family"]), int(cores)))
    return found


def _key(name: str) -> str:
    """Azure writes one limit as standardFSv2Family, as Standard FSv2 Family vCPUs and with other capitals."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain if plain.startswith("totalcluster") else re.sub(r"(clusterdedicated)?vcpus$", "", plain)
