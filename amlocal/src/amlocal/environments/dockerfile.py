"""The Python packages that a Dockerfile installs, as far as its lines say so plainly; what else it does is told."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from amlocal.core.documents import read_yaml
from amlocal.core.errors import UserError
from amlocal.environments.curated import of_image
from amlocal.environments.wanted import SOURCES, Wanted, add_conda_package, add_pip_lines, of_conda_file

# Options of pip and conda that take a value, which must not be read as a package.
VALUED = {
    *(set(SOURCES) - {"--no-index"}),
    *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-t", "--target", "-p", "--prefix", "-n"),
    *("--name", "--root", "--timeout", "--default-timeout", "--retries", "--python", "--cache-dir", "--proxy"),
    *("--cert", "--only-binary", "--no-binary", "--channel", "--progress-bar", "--use-feature", "--config-settings"),
}
# Steps that matter to a container only, and words of the shell's own.
HOUSEKEEPING = {
    *("rm", "mkdir", "cd", "export", "echo", "ln", "chmod", "chown", "set", "true", "source", "bash", "cp", "mv"),
    *("if", "then", "else", "fi", "case", "esac", "for", "do", "done", "exit", "grep", "sed", "cut", "venv"),
}
TOLD = 8  # steps left out that are named


def of_build_context(context: Path, dockerfile: str) -> Wanted:
    """What the Dockerfile of a build context installs with pip or conda. Raises UserError if it is not there."""
    path = context / dockerfile
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"environment: build: no Dockerfile at {path}; give build.dockerfile_path") from error
    return _Reader(context, dockerfile).read(text)


class _Reader:
    def __init__(self, context: Path, name: str) -> None:
        self.context, self.name = context, name
        self.wanted = Wanted(layered=True)
        self.copied: dict[str, str] = {}  # where a file lies in the image, by its last name -> in the context
        self.undone: list[str] = []

    def read(self, text: str) -> Wanted:
        for instruction, rest in _instructions(text):
            if instruction == "FROM":
                self.wanted = of_image(
                    re.sub(r"^--\S+\s+", "", rest).split()[0], "this Python"
                )  # the last stage counts
            elif instruction == "ENV":
                self.undone.append(f"ENV {re.split(r'[ =]', rest)[0]}")
            elif instruction in ("COPY", "ADD"):
                self._copy([word for word in rest.split() if not word.startswith("--")])
            elif instruction == "RUN":
                for command in re.split(r"&&|\|\||[;|\n]", rest):
                    self._command(command)
        if self.undone:
            undone = list(dict.fromkeys(self.undone))
            more = f" and {len(undone) - TOLD} more" if len(undone) > TOLD else ""
            self.wanted.notice(f"not done of {self.name}: {', '.join(undone[:TOLD])}{more}")
        return self.wanted

    def _copy(self, words: list[str]) -> None:
        for source in words[:-1]:
            target = PurePosixPath(words[-1])
            name = PurePosixPath(source).name if words[-1].endswith(("/", ".")) else target.name
            self.copied[name] = source

    def _command(self, command: str) -> None:
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            words = command.split()
        if not words:
            return
        tool, *rest = words
        tool = PurePosixPath(tool).name
        if re.fullmatch(r"python[\d.]*", tool) and rest[:1] == ["-m"]:
            tool, *rest = rest[1:] or [tool]
        if tool == "uv" and rest[:1] == ["pip"]:
            tool, rest = "pip", rest[1:]
        if re.fullmatch(r"pip[\d.]*", tool):
            if rest[:1] == ["install"]:
                self._pip(rest[1:])
        elif tool in ("conda", "mamba", "micromamba"):
            self._conda(rest)
        elif tool not in HOUSEKEEPING and re.fullmatch(r"[A-Za-z][\w.+-]*", tool):
            self.undone.append(" ".join([tool, *rest[:1]]) if tool in ("apt-get", "apt", "git") else tool)

    def _pip(self, words: list[str]) -> None:
        options, packages = _split(words)
        lines = [f"{option} {value}" for option, value in options if option in (*SOURCES, "-r", "--requirement")]
        for line in [*lines, *packages]:
            try:
                add_pip_lines(self.wanted, [line], self.name, self._lines)
            except UserError:
                self.undone.append(f"pip install {line}")

    def _conda(self, words: list[str]) -> None:
        options, names = _split(words)
        file = next((value for option, value in options if option in ("-f", "--file")), None)
        if names[:1] == ["env"] and file:
            self._conda_file(file)
        elif names[:1] in (["install"], ["create"]):
            for text in names[1:]:
                add_conda_package(self.wanted, text, self.name)

    def _conda_file(self, file: str) -> None:
        found = self._find(file)
        if not found:
            self.undone.append(f"conda env from {file}")
            return
        inner = of_conda_file(read_yaml(found), found.name)
        self.wanted.packages += inner.packages
        self.wanted.options += inner.options
        self.wanted.python = inner.python
        for notice in inner.notices:
            self.wanted.notice(notice)

    def _lines(self, file: str) -> list[str]:
        found = self._find(file)
        if not found:
            raise UserError(f"environment: {self.name}: no such file in the build context: {file}")
        return found.read_text(encoding="utf-8").splitlines()

    def _find(self, file: str) -> Path | None:
        """A file of the image in the build context: as it was copied, or as it lies there."""
        name = PurePosixPath(file).name
        for candidate in (self.copied.get(name), file.lstrip("/"), name):
            if candidate:
                for path in (self.context / candidate.lstrip("/"), self.context / candidate.lstrip("/") / name):
                    if path.is_file() and path.resolve().is_relative_to(self.context.resolve()):
                        return path
        return None


def _split(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options with their values, and the rest."""
    options, others = [], []
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            others.append(word)
        elif "=" in word:
            option, _, value = word.partition("=")
            options.append((option, value))
        else:
            options.append((word, next(left, "") if word in VALUED or word in ("-f", "--file") else ""))
    return options, others


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """A Dockerfile's instructions, continuations joined, comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\[ \t]*\n", " ", "\n".join(lines)).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if rest:
            yield instruction.upper(), rest.strip()
