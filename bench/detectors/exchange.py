"""What the project's Python and the peers' hand each other: an npz file with digits and streams. NumPy only."""

from pathlib import Path

import numpy as np

from .runs import Streams, Trial

Columns = dict[str, np.ndarray]  # name -> (n,), a value for every digit


def write(file: Path, reference: Columns, pool: Columns, known: dict[str, np.ndarray], trial: Trial) -> None:
    """Everything a method needs, in one file; `known` names the foreign digits (indices) that may be tuned with."""
    arrays: dict[str, np.ndarray] = {"clean": trial.clean, "control": trial.control, "rate": np.array(trial.rate)}
    arrays |= {f"reference/{name}": values for name, values in reference.items()}
    arrays |= {f"pool/{name}": values for name, values in pool.items()}
    arrays |= {f"known/{name}": values for name, values in known.items()}
    for part, kinds in (("tuning", trial.tuning), ("tests", trial.tests)):
        for name, streams in kinds.items():
            arrays |= {
                f"{part}/{name}/digits": streams.digits,
                f"{part}/{name}/first": streams.first,
                f"{part}/{name}/horizon": np.array(streams.horizon),
            }
    np.savez(file, **arrays)


def read(file: Path) -> tuple[Columns, Columns, dict[str, np.ndarray], Trial]:
    """(reference, pool, known, trial) as `write` was given them."""
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}

    def part(name: str) -> dict[str, np.ndarray]:
        return {key.split("/", 1)[1]: value for key, value in arrays.items() if key.startswith(f"{name}/")}

    def kinds(name: str) -> dict[str, Streams]:
        found = part(name)
        return {
            kind: Streams(found[f"{kind}/digits"], found[f"{kind}/first"], int(found[f"{kind}/horizon"]))
            for kind in dict.fromkeys(key.split("/")[0] for key in found)
        }

    trial = Trial(arrays["clean"], arrays["control"], kinds("tuning"), kinds("tests"), float(arrays["rate"]))
    return part("reference"), part("pool"), part("known"), trial
