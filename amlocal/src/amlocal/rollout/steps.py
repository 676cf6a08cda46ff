"""The steps of a rollout: `mirror`, `10`, `50`, `100`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from amlocal.core.errors import UserError

MIRROR_SHARE, MOST_MIRRORED = 10, 50  # percent; Azure mirrors at most half


@dataclass(frozen=True)
class TrafficStep:
    """share: percent of the live traffic for the new deployment; of a mirror, percent copied to it."""

    share: int
    mirror: bool = False

    def __str__(self) -> str:
        return f"mirror {self.share} %" if self.mirror else f"{self.share} %"


DEFAULT_STEPS = (TrafficStep(MIRROR_SHARE, mirror=True), TrafficStep(10), TrafficStep(50), TrafficStep(100))


def parse_steps(texts: Sequence[str]) -> list[TrafficStep]:
    """`["mirror", "10", "50", "100"]`, `"mirror=20"`. Raises UserError."""
    steps: list[TrafficStep] = []
    for text in " ".join(texts).replace(",", " ").split():
        match = re.fullmatch(r"(mirror)(?:=(\d{1,3})%?)?|(\d{1,3})%?", text)
        share = int(match[2] or match[3] or MIRROR_SHARE) if match else 0
        step = TrafficStep(share, mirror=bool(match and match[1]))
        if not 1 <= share <= (MOST_MIRRORED if step.mirror else 100):
            raise UserError(
                f"--steps {text}: a step is a percentage from 1 to 100, or mirror or mirror=N with N from 1 to"
                f" {MOST_MIRRORED}, the most that Azure mirrors; example: --steps mirror 10 50 100"
            )
        if steps and (step.mirror > steps[-1].mirror or (step.mirror == steps[-1].mirror and share <= steps[-1].share)):
            raise UserError(f"--steps {' '.join(texts)}: {step} after {steps[-1]}: mirror first, then more and more")
        steps.append(step)
    if not steps:
        raise UserError("--steps: give at least one; example: --steps mirror 10 50 100")
    return steps
