"""Last job, the gate: the model becomes the registry's new champion, or the verdict says why not.

    python -m digits.jobs.register --data data --model model --evaluation evaluation --out verdict
    python -m digits.jobs.register ... --new new     # it must also be better than the champion on the new hand

A refusal is not a failure: the job ends well, and the champion serves on.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from digits import command, output
from digits.data import splits
from digits.data.sets import Digits
from digits.jobs import evaluate, gate
from digits.network import lite

MEASURED = ("accuracy", "champion_accuracy", "mcnemar_p")
MEASURED_NEW = ("accuracy_new", "champion_accuracy_new", "mcnemar_p_new", "agreement_p")  # of the new hand
SOURCE_NEW = "source.test.new"  # a version's tag: what it was judged by of a new hand
BEFORE_AND_AFTER = "before_and_after.png"
DESCRIPTION = 5000  # characters that MLflow's store takes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.jobs.register", description="Register a model if it is good enough.")
    parser.add_argument("--data", type=Path, required=True, help="folder that digits.jobs.prepare wrote")
    parser.add_argument("--new", type=Path, help="folder that drift.gather wrote: a new hand to read better")
    parser.add_argument("--model", type=Path, required=True, help="folder that digits.jobs.train wrote")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder that digits.jobs.evaluate wrote")
    parser.add_argument(
        "--threshold", type=command.fraction, default=0.97, help="least accuracy (default: %(default)s)"
    )
    parser.add_argument("--model-name", type=_name, default="digits", help="in the registry (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for verdict.json")
    parser.add_argument(
        "--agreement",
        type=command.fraction,
        default=gate.AGREEMENT,
        help="highest p at which the new hand's labels are believed; 1: always (default: %(default)s)",
    )
    return command.run(
        parser,
        lambda a: register(
            a.data, a.model, a.evaluation, a.out, a.threshold, a.model_name, new=a.new, agreement=a.agreement
        ),
        argv,
    )


def register(
    data: Path,
    model: Path,
    evaluation: Path,
    out: Path,
    threshold: float = 0.97,
    name: str = "digits",
    *,
    new: Path | None = None,
    agreement: float = gate.AGREEMENT,
) -> dict[str, Any]:
    """Judge the folder `model`, register it as `name` if it passes, and write and return the verdict.

    new: a folder of drift.gather's, on which it must be better than the champion; agreement: see gate.judge_new.
    Raises DataError or ModelError if a folder is not what the earlier jobs write. What is wrong with the *champion* is
    no error but a refusal that says what to do.
    """
    test = splits.read(data, "test")
    hand = None if new is None else {part: splits.read(new, part) for part in ("test", "validation", "train")}
    lite.Lite(model / lite.FILE)  # it must be usable before it is champion
    right = evaluate.read(evaluation, model, test).argmax(axis=1) == test.labels
    answers = evaluate.read(evaluation, model, hand["test"], evaluate.NEW).argmax(axis=1) if hand else None

    from digits.jobs import pictures, tracking

    with tracking.run("register") as run_id, output.folder(out) as folder:
        import mlflow
        from mlflow.models import Model

        from digits.jobs import registry

        champion = registry.champion(name)
        theirs = None
        try:
            if champion is not None:
                asked = [test, *(hand or {}).values()]
                images = np.concatenate([digits.images for digits in asked])
                theirs = registry.probabilities(champion, images).argmax(axis=1)
            judged = gate.judge(right, None if theirs is None else theirs[: len(test)] == test.labels, threshold)
        except lite.ModelError as error:
            assert champion is not None
            judged = replace(gate.judge(right, None, 0), passed=False, reason=_incomparable(champion.version, error))
        if hand is not None and answers is not None:
            before = None if theirs is None else theirs[len(test) :]
            judged = _judge_new(judged, hand, answers, before, agreement)
            if before is not None:
                both = (before[: len(answers)], answers)
                matrices = [evaluate.confusion(hand["test"].labels, each) for each in both]
                pictures.save(pictures.before_and_after(*matrices), folder / BEFORE_AND_AFTER)
        if champion is not None and hand is None and judged.passed and (learnt := champion.tags.get(SOURCE_NEW)):
            mind = (
                f"mind that version {champion.version} has learnt another hand ({learnt}), which this was not judged by"
            )
            judged = replace(judged, reason=f"{judged.reason}; {mind}")
        version = None
        fingerprint = lite.fingerprint(model / lite.FILE)
        same = registry.version_of(name, fingerprint)
        # No model is better than itself; nor does one come back that another has taken the place of, unless it knows a
        # hand that the other does not.
        back = hand is not None and judged.passed
        if champion is not None and same is not None and (same.version == champion.version or not back):
            version, first = int(same.version), int(champion.version)
            role = ", the champion, already" if version == first else f" already, and version {first} is champion since"
            known = f"it is version {version}{role}"
            # What it lacks on the new hand is told to someone who trained another model.
            told = known if judged.passed or hand is not None else f"{judged.reason}; {known}"
            judged = replace(judged, passed=False, reason=told)
        elif judged.passed:
            about = Model.load(str(model)).metadata or {}
            tags = {"accuracy": f"{judged.accuracy:.4f}", "source.test": test.source}
            tags |= {f"trained.{key}": str(value) for key, value in about.items()}
            if hand is not None:
                tags |= {"accuracy.new": f"{judged.accuracy_new:.4f}", SOURCE_NEW: hand["test"].source}
            tags[registry.FINGERPRINT] = fingerprint
            mlflow.log_artifact(str(evaluation / evaluate.CONFUSION))
            description = _description(name, judged, tags, run_id)
            version = int(registry.register(name, model, run_id, tags, description).version)
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
        if hand is not None:
            verdict["digits_new"] = len(hand["test"])
            verdict |= {key: getattr(judged, key) for key in MEASURED_NEW}
        (folder / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
        for file in folder.iterdir():
            mlflow.log_artifact(str(file))
        mlflow.log_params({"threshold": threshold, "model_name": name})
        measured = {key: getattr(judged, key) for key in (*MEASURED, *MEASURED_NEW)}
        mlflow.log_metrics({key: value for key, value in measured.items() if value is not None})
        told = "registered" if judged.passed else "refused"
        mlflow.set_tags({"verdict": told, "reason": judged.reason[: tracking.TAG]})
    print(summary(verdict, int(right.sum()), len(test)))
    return verdict


def summary(verdict: dict[str, Any], right: int, total: int) -> str:
    """The verdict as the last lines of the log, for a person to act on."""
    name = verdict["model_name"]
    head = f"{right:,} of {total:,} test digits right ({verdict['accuracy']:.2%})"
    if "accuracy_new" in verdict:
        head += f", and {verdict['accuracy_new']:.2%} of {verdict['digits_new']:,} of the new hand"
    if verdict["registered"]:
        return f"REGISTERED {name} version {verdict['version']}: {head}.\n  {verdict['reason']}"
    serves = (
        f"{name} version {verdict['champion_version']} stays champion"
        if verdict["champion_version"]
        else f"{name} has no champion yet"
    )
    return f"NOT REGISTERED: {head}; {serves}.\n  {verdict['reason']}"


def _description(name: str, judged: gate.Verdict, tags: dict[str, str], run_id: str) -> str:
    """What a person should know of the model, in Markdown: what it is, from which job, its figures, a picture."""
    import mlflow

    from digits.jobs import tracking

    address = tracking.address(mlflow.get_run(run_id).info.experiment_id, run_id)
    # On MLflow's own pages the link is within them, whatever their address is.
    link = address[address.index("#") :] if "#" in address else address
    job = f"[{run_id}]({link})" if link else run_id
    figures = [("Test digits read right", f"{judged.accuracy:.2%}, of {tags['source.test']}")]
    if judged.champion_accuracy is not None:
        figures.append(("The champion before it, on the same", f"{judged.champion_accuracy:.2%}"))
    if judged.accuracy_new is not None:
        figures.append(("Of the new hand", f"{judged.accuracy_new:.2%}, of {tags[SOURCE_NEW]}"))
    trained = {key.removeprefix("trained."): value for key, value in tags.items() if key.startswith("trained.")}
    figures += [("Trained with", ", ".join(f"{key} {value}" for key, value in trained.items()))]
    rows = "\n".join(f"| {what} | {' '.join(value.replace('|', ' ').split())} |" for what, value in figures if value)
    # Azure's studio has no address by which a picture of a run could be shown.
    picture = (
        ""
        if address.startswith("https://ml.azure.com/")
        else f"\n![What was taken for what](get-artifact?path={evaluate.CONFUSION}&run_uuid={run_id})\n"
    )
    return f"""**{name}** reads handwritten digits: 28 x 28 pixels in, white on black; ten probabilities out.

From job {job}. {judged.reason[:1].upper()}{judged.reason[1:]}.

| | |
|---|---|
{rows}
{picture}"""[:DESCRIPTION]


def _judge_new(
    so_far: gate.Verdict, hand: dict[str, Digits], answers: np.ndarray, champion: np.ndarray | None, level: float
) -> gate.Verdict:
    """The verdict with the new hand: `answers` (n,) to its test digits, the champion's (m,) to all parts in order."""
    truth = hand["test"].labels
    if champion is None:
        return gate.judge_new(so_far, answers == truth, None)
    labels = np.concatenate([digits.labels for digits in hand.values()])
    chance = gate.by_chance(labels, champion)
    return gate.judge_new(so_far, answers == truth, champion[: len(truth)] == truth, chance, level)


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
