"""Every verb of `aml`, given too little or what makes no sense, answers in one line."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli.verb_table import table_of_commands

from amlocal.cli import app

TABLE = table_of_commands()
# They serve, run programs, or look at the machine, whatever they are given.
OTHERS = ("mlflow", "exec", "down", "up", "doctor", "validate", "completion", "quota", "online-endpoint-rollout")
VERBS = [verb for verb in TABLE if verb.split()[0] not in OTHERS and verb != "workspace delete"]
FILES = {
    "empty.yml": "",
    "scalar.yml": "7\n",
    "list.yml": "- a\n",
    "nothing.yml": "{}\n",
    "named.yml": "name: abc\n",
    "nulls.yml": "name:\ntype:\npath:\ncommand:\njobs:\nmodel:\nendpoint_name:\nenvironment:\n",
    "wrong.yml": "type: zzz\nname: 7\npath: []\n",
}
INSIDE = ("fault in aml", "Traceback", "None:", ": None", "'None'", "NoneType")


def flags(verb: str) -> tuple[list[tuple[str, dict[str, Any]]], list[tuple[str, dict[str, Any]]]]:
    """(required, optional) flags of a verb, each with knack's settings."""
    found: tuple[list[tuple[str, dict[str, Any]]], list[tuple[str, dict[str, Any]]]] = ([], [])
    for name, argument in TABLE[verb].arguments.items():
        if name.startswith("_") or name in ("cmd", "stream", "web"):
            continue
        settings = argument.type.settings
        named = [str(flag) for flag in settings.get("options_list") or [f"--{name.replace('_', '-')}"]]
        flag = next(each for each in named if each.startswith("--"))
        found[0 if settings.get("required") else 1].append((flag, settings))
    return found


def typed(flag: str, settings: dict[str, Any], value: str) -> list[str]:
    if settings.get("action") in ("store_true", "store_false"):
        return [flag]
    choices = settings.get("choices")
    return [flag, str(next(iter(choices))) if choices else value]


def calls(verb: str) -> list[list[str]]:
    required, optional = flags(verb)
    words = [*verb.split(), *(["--yes"] if verb.endswith(" delete") else [])]
    found = [words]
    files = (*FILES, "folder") if any(flag == "--file" for flag, _ in required) else ()
    for value in ("zzz", "", "a/../b", "azureml:x:1", *files):
        found.append(words + [word for flag in required for word in typed(*flag, value)])
    bare = found[1]
    found += [bare + typed(*flag, "zzz") for flag in optional]
    for flag in optional:
        if flag[0] == "--file":
            found += [bare + typed(*flag, each) for each in FILES]
        if flag[0] == "--name":
            found += [bare + typed(*flag, "abc") + typed(*more, "zzz") for more in optional if more is not flag]
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_one_line_a_mistake(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], empty_store: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    monkeypatch.setenv("AML_CORE_NO_COLOR", "true")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / ".amlocal").mkdir(mode=0o700)
    (tmp_path / ".amlocal" / "mlflow.db").write_bytes(empty_store.read_bytes())
    for call in calls(verb):
        code = app.run(call)
        said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith(("WARNING", "Class "))]
        of_a_file = "--file" in call and code == 1  # every mistake in it is told, a line each
        assert code == 0 or (said if of_a_file else len(said) == 1), (call, said)
        assert code == 0 or all(line.startswith(("ERROR: ", "NOTE: ")) for line in said), (call, said)
        assert not any(each in line for each in INSIDE for line in said), (call, said)
