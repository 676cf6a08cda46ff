"""Last job, the gate: the model becomes the registry's new champion, or the verdict says why not.

    python -m digits.register --data data --model model --evaluation evaluation --out verdict

A refusal is not a failure: the job ends well, and the champion serves on.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from digits import cli, evaluate, gate, lite, output, splits


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.register", description="Register a model if it is good enough.")
    parser.add_argument("--data", type=Path, required=True, help="folder that digits.prepare wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder that digits.train wrote")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder that digits.evaluate wrote")
    parser.add_argument("--threshold", type=cli.fraction, default=0.97, help="least accuracy (default: %(default)s)")
    parser.add_argument("--model-name", type=_name, default="digits", help="in the registry (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for verdict.json")
    return cli.run(parser, lambda a: register(a.data, a.model, a.evaluation, a.out, a.threshold, a.model_name), argv)


def register(
    data: Path, model: Path, evaluation: Path, out: Path, threshold: float = 0.97, name: str = "digits"
) -> dict[str, Any]:
    """Judge the folder `model`, register it as `name` if it passes, and write and return the verdict.

    Raises DataError or ModelError if a folder is not what the earlier jobs write. What is wrong with the *champion* is
    no error but a refusal that says what to do.
    """
    test = splits.read(data, "test")
    lite.Lite(model / lite.FILE)  # it must be usable before it is champion
    right = evaluate.read(evaluation, model, test.labels).argmax(axis=1) == test.labels

    from digits import tracking

    with tracking.run("register") as run_id, output.folder(out) as folder:
        import mlflow
        from mlflow.models import Model

        from digits import registry

        champion = registry.champion(name)
        if champion is None:
            judged = gate.judge(right, None, threshold)
        else:
            try:
                theirs = registry.probabilities(champion, test.images).argmax(axis=1) == test.labels
                judged = gate.judge(right, theirs, threshold)
            except lite.ModelError as error:
                judged = replace(
                    gate.judge(right, None, 0), passed=False, reason=_incomparable(champion.version, error)
                )
        version = None
        fingerprint = lite.fingerprint(model / lite.FILE)
        if judged.passed and champion is not None and champion.tags.get(registry.FINGERPRINT) == fingerprint:
            version = int(champion.version)
            judged = replace(judged, passed=False, reason=f"it is version {version}, the champion, already")
        elif judged.passed:
            about = Model.load(str(model)).metadata or {}
            tags = {"accuracy": f"{judged.accuracy:.4f}", "source.test": test.source}
            tags |= {f"trained.{key}": str(value) for key, value in about.items()}
            tags[registry.FINGERPRINT] = fingerprint
            version = int(registry.register(name, model, run_id, tags).version)
        verdict = {
            "registered": judged.passed,
            "reason": judged.reason,
            "model_name": name,
            "version": version,
            "accuracy": judged.accuracy,
            "champion_version": int(champion.version) if champion else None,
            "champion_accuracy": judged.champion_accuracy,
            "mcnemar_p": judged.mcnemar_p,
        }
        (folder / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
        mlflow.log_artifact(str(folder / "verdict.json"))
        mlflow.log_params({"threshold": threshold, "model_name": name})
        measured = {key: getattr(judged, key) for key in ("accuracy", "champion_accuracy", "mcnemar_p")}
        mlflow.log_metrics({key: value for key, value in measured.items() if value is not None})
        told = "registered" if judged.passed else "refused"
        mlflow.set_tags({"verdict": told, "reason": judged.reason[: tracking.TAG]})
    print(summary(verdict, int(right.sum()), len(test)))
    return verdict


def summary(verdict: dict[str, Any], right: int, total: int) -> str:
    """The verdict as the last lines of the log, for a person to act on."""
    name = verdict["model_name"]
    head = f"{right:,} of {total:,} test digits right ({verdict['accuracy']:.2%})"
    if verdict["registered"]:
        return f"REGISTERED {name} version {verdict['version']}: {head}.\n  {verdict['reason']}"
    serves = (
        f"{name} version {verdict['champion_version']} stays champion"
        if verdict["champion_version"]
        else f"{name} has no champion yet"
    )
    return f"NOT REGISTERED: {head}; {serves}.\n  {verdict['reason']}"


def _incomparable(version: str, error: lite.ModelError) -> str:
    why = " ".join(str(error).split())
    return f"cannot be compared with the champion, version {version}: {why}; restore it, or set its tag champion=false"


def _name(text: str) -> str:
    """A name that Azure's registry takes, so that a model trained anywhere can be registered there."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits, - and _ only, at most 255, not - or _ first")
    return text


if __name__ == "__main__":
    sys.exit(main())
