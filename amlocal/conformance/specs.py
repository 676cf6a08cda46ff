"""Does `aml validate` say of specs what azure-ai-ml says, and why?

    python conformance/specs.py FOLDER...                  # every spec below the folders; prints each refusal
    python conformance/specs.py FOLDER... --quiet          # the counts alone

Each YAML file that is a spec is validated by itself, in an empty workspace, and read with azure-ai-ml's own loader
(`load_job`, `load_component`, ...), which needs no Azure. The last line is JSON:

    specs       how many were looked at, and by kind
    accepted    without an error
    refused     azure-ai-ml refuses them, and so does aml, with these messages
    stricter    azure-ai-ml reads them, and aml has found what only the service, or a run, would: read each
    wrong       azure-ai-ml refuses them and aml does not, or aml has broken down

Exit code 1 if any verdict is wrong.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from amlocal.core.errors import UserError  # noqa: E402
from amlocal.core.workspace import Workspace  # noqa: E402
from amlocal.specs.load import loader, read_document  # noqa: E402
from amlocal.specs.recognize import kind_of  # noqa: E402
from amlocal.validate import find_spec, validate  # noqa: E402


@dataclass(frozen=True)
class Verdict:
    """What both say of one file. theirs: why azure-ai-ml refuses it, or None. ours: the lines of `aml validate`."""

    path: Path
    kind: str
    theirs: str | None
    ours: tuple[str, ...]
    broken: bool = False

    @property
    def name(self) -> str:
        if self.broken or (self.theirs is not None and not self.ours):
            return "wrong"
        if not self.ours:
            return "accepted"
        return "refused" if self.theirs is not None else "stricter"


def specs(folders: Sequence[Path]) -> Iterator[Path]:
    """The YAML files below the folders that are Azure ML specs."""
    for folder in folders:
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*.y*ml")):
            try:
                known = path.is_file() and kind_of(read_document(path))
            except UserError:
                continue
            if known:
                yield path


def verdict(path: Path, workspace: Workspace) -> Verdict:
    spec = find_spec(path)
    try:
        loader(spec.kind)(path.resolve(), params_override=[dict(each) for each in spec.overrides])
        theirs = None
    except Exception as error:
        theirs = " ".join(str(error).split())
    try:
        ours = tuple(validate([path], workspace).errors)
    except UserError as error:
        ours = (str(error),)
    except Exception as error:
        return Verdict(path, spec.kind, theirs, (f"{type(error).__name__}: {error}",), broken=True)
    return Verdict(path, spec.kind, theirs, ours)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--quiet", action="store_true", help="print the counts alone")
    chosen = parser.parse_args(arguments)
    if missing := [folder for folder in chosen.folders if not folder.exists()]:
        parser.error(f"{missing[0]}: no such folder")
    counts, kinds = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder, ".amlocal"))
        for path in specs(chosen.folders):
            found = verdict(path, workspace)
            counts[found.name] += 1
            kinds[found.kind] += 1
            if found.name != "accepted" and not chosen.quiet:
                print(f"{found.name}: {path}")
                for line in found.ours:
                    print(f"    {line}")
                if found.name == "wrong":
                    print(f"    azure-ai-ml: {found.theirs}")
    if not kinds:
        print("no spec below these folders", file=sys.stderr)
        return 1
    names = ("accepted", "refused", "stricter", "wrong")
    print(json.dumps({"specs": sum(kinds.values()), **{name: counts[name] for name in names}, "kinds": dict(kinds)}))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
