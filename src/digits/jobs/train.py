"""Second job: a network trained on the prepared digits, packed as an MLflow model.

python -m digits.jobs.train --data data --model model
python -m digits.jobs.train --data data --model model --network baseline --schedule baseline
python -m digits.jobs.train --data data --new new --model model       # and the new hand that drift.gather gathered
"""

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from digits import command, output
from digits.data import splits
from digits.network import fit, lite
from digits.network.model import NETWORKS

EXAMPLES = 100  # digits on which the model's two forms are compared
# Of the digits of an epoch, at least so many are of the new hand, however few there are. On real Devanagari digits, 50
# or 300 of them, a twentieth is too little, and more than a fifth gains hardly anything.
SHARE = 0.2
# Of the digits to validate with: the curves show how either hand is learnt.
VALIDATION_SHARE = 0.5


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.jobs.train", description="Train a network on prepared digits.")
    parser.add_argument("--data", type=Path, required=True, help="folder that digits.jobs.prepare wrote")
    parser.add_argument("--new", type=Path, help="folder that drift.gather wrote: a new hand to learn as well")
    parser.add_argument("--network", choices=NETWORKS, default="default", help="(default: %(default)s)")
    parser.add_argument("--schedule", choices=fit.SCHEDULES, default="small", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: %(default)s)")
    parser.add_argument("--model", type=Path, required=True, help="folder to write")
    return command.run(parser, lambda a: train(a.data, a.model, a.network, a.schedule, a.seed, a.new), argv)


def train(
    data: Path,
    out: Path,
    network: str = "default",
    schedule: str = "small",
    seed: int = 0,
    new: Path | None = None,
) -> None:
    """Train `network` by `schedule` on the folders `data` and `new`, write the model to `out`, log both to MLflow.

    Raises DataError if `data` is not what digits.jobs.prepare writes, or `new` what drift.gather does, TrainingError if
    training goes astray.
    """
    digits = splits.read(data, "train")
    validation = splits.read(data, "validation")
    held = [validation]
    if new is not None:
        digits = splits.mix(digits, splits.read(new, "train"), SHARE)
        held_new = splits.read(new, "validation")
        validation = splits.mix(validation, held_new, VALIDATION_SHARE)
        # What is normal afterwards is told by all that the network does not learn, the gate's own test with it.
        held.append(splits.joined(held_new, splits.read(new, "test")))

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its warnings about this machine's GPUs are not ours
    from digits.jobs import tracking
    from digits.network import model, novelty, package, reference

    with tracking.run("train", system_metrics=True), output.folder(out) as folder:
        import mlflow

        built = model.build(network, seed, fit.SCHEDULES[schedule].width)
        plan = asdict(fit.SCHEDULES[schedule])
        mlflow.log_params({"network": network, "schedule": schedule, "seed": seed, "parameters": built.count_params()})
        mlflow.log_params(plan | {"images": len(digits)})
        mlflow.set_tag("source.train", digits.source)
        reached: dict[str, float] = {}
        bar = sys.stderr.isatty()

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            mlflow.log_metrics(metrics, step=epoch)
            reached.update(metrics)
            if not bar:  # a log shows no moving bar
                print(_line(epoch, plan["epochs"], metrics), flush=True)

        fit.fit(built, fit.SCHEDULES[schedule], digits, validation, seed=seed, on_epoch=on_epoch, progress=bar)
        about = {
            "network": network,
            "schedule": schedule,
            "seed": str(seed),
            "parameters": str(built.count_params()),
            "source": digits.source,
            "val_accuracy": f"{reached['val_accuracy']:.4f}",
        }
        package.save(built, folder, validation.images[:EXAMPLES], about, novelty.directions(built, digits.images))
        reference.write(folder / reference.FOLDER, lite.Lite(folder / lite.FILE), digits, *held)
        # As plain artifacts: MLflow 3's log_model needs a route that Azure's tracking server does not have.
        mlflow.log_artifacts(str(folder), "model")
    print(
        f"{network} ({built.count_params():,} parameters), schedule {schedule}: "
        f"{reached['val_accuracy']:.2%} of {len(validation):,} validation digits right"
    )


def _line(epoch: int, epochs: int, metrics: dict[str, float]) -> str:
    done = "#" * (20 * epoch // epochs)
    return f"[{done:<20}] epoch {epoch}/{epochs}  loss {metrics['loss']:.4f}  validation {metrics['val_accuracy']:.2%}"


if __name__ == "__main__":
    sys.exit(main())
