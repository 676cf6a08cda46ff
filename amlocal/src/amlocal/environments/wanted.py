"""What an environment asks for, in pip's words: from a conda file, or from the `pip install` lines of a Dockerfile."""

import functools
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from amlocal.core.errors import UserError

# What is the interpreter itself, or comes with it, in every environment.
INTERPRETER = {"python", "pip", "setuptools", "wheel"}
# Options of a requirements file that say where packages come from; they are handed on to pip or uv.
SOURCES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--no-index")
FILES = ("-r", "--requirement", "-c", "--constraint")
REMOTE = re.compile(r"(?:git|hg|svn|bzr)\+\S+|https?://\S+")
# The first releases that work with numpy 2. PyPI lets many before them have it, which then cannot be imported.
WITH_NUMPY_2 = {"pandas": "2.2.2", "scikit-learn": "1.4.2", "scipy": "1.13"}
LAST = 99  # as the third number of a version of Python: later than any
OWN_FILE = re.compile(r"\.{0,2}/|\.{1,2}(\[|$)|[A-Za-z]:\\|file:|.*\.(whl|zip|tar\.gz)$")  # `.`, `./a`, `a.whl`, ...
CONDA = re.compile(r"(?:\S+::)?(?P<name>[\w.-]+)\s*(?P<version>.*)")


@dataclass(frozen=True)
class Package:
    """One requirement.

    conda: by conda's name and version, which PyPI need not know. guessed: from the name of one of Azure's environments.
    """

    requirement: Requirement
    conda: bool = False
    guessed: bool = False

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def applies(self) -> bool:
        """Whether its marker, if it has one, is for this Python and this system."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate()


@dataclass
class Wanted:
    """Everything an environment asks for.

    options: lines of a requirements file that name package indexes. python: the versions asked for, as a specifier.
    layered: on top of an image, for which this Python with all it has stands. curated: the name of Azure's environment,
    if it is one. notices: what is not done, for the log.
    """

    packages: list[Package] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    python: str | None = None
    layered: bool = False
    curated: str | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def other_python(self) -> bool:
        """Whether Python is asked for in a version that this one is not; the third number does not count."""
        if not self.python:
            return False
        if self.python.startswith("=="):
            asked = self.python.strip("=").removesuffix(".*").split(".")[:2]
            return asked != [str(number) for number in sys.version_info[: len(asked)]]
        return not SpecifierSet(self.python).contains(platform.python_version())

    @property
    def older_python(self) -> str | None:
        """The version of Python that is asked for, if it came before this one."""
        asked = re.match(r"==(\d+)\.(\d+)(?:\.(\d+))?", self.python or "")
        if asked is None or (int(asked[1]), int(asked[2])) >= sys.version_info[:2]:
            return None
        return f"{asked[1]}.{asked[2]}.{asked[3] or LAST}"

    def notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def add(self, requirement: Requirement, conda: bool = False) -> None:
        if canonicalize_name(requirement.name) not in INTERPRETER:
            self.packages.append(Package(requirement, conda))

    def hold_numpy(self) -> None:
        """Keep numpy 2 from pins that came before it, where Azure's build would: what comes by conda, whose index was
        mended afterwards, and what is for Python 3.8 or older, which has no numpy 2. Nor where no Python is named:
        Azure's build takes one then that such pins do not have at all."""
        python = re.match(r"==3\.(\d+)", self.python or "")
        early = self.python is None or (python is not None and int(python[1]) < 9)
        old = [
            package.requirement
            for package in self.packages
            if (early or package.conda or package.guessed) and _before(package, WITH_NUMPY_2.get(package.name))
        ]
        numpy = [package.requirement.specifier for package in self.packages if package.name == "numpy"]
        if old and all(specifier.contains("1.26.4") and specifier.contains("2.2.0") for specifier in numpy):
            self.packages.append(Package(Requirement("numpy<2"), guessed=True))
            self.notice(f"numpy is kept below 2, which {old[0]} came before")


def _before(package: Package, release: str | None) -> bool:
    pins = (each for each in package.requirement.specifier if each.operator in ("==", "<", "<="))
    return release is not None and any(Version(pin.version.removesuffix(".*")) < Version(release) for pin in pins)


def of_conda_file(content: Any, where: str = "conda_file") -> Wanted:
    """The packages of a conda file: its `pip:` list, and conda's own by the names that PyPI has for them.

    Raises UserError for a line that is no requirement, and for one that names another file: Azure builds from the
    conda file alone.
    """
    wanted = Wanted()
    if not isinstance(content, dict) or not isinstance(content.get("dependencies") or [], list):
        raise UserError(f"environment: {where}: not a conda file; it is a mapping with a list called dependencies")
    for item in content.get("dependencies") or []:
        if isinstance(item, dict):
            unknown = [key for key in item if key != "pip"]
            if unknown:
                raise UserError(f'environment: {where}: "{unknown[0]}:" is not understood; "pip:" is')
            lines = item.get("pip") or []
            if not isinstance(lines, list):
                raise UserError(f'environment: {where}: "pip:" is a list of requirements, one a line: "- {lines}"')
            add_pip_lines(wanted, (str(line) for line in lines), where)
        else:
            add_conda_package(wanted, str(item), where)
    if content.get("variables"):
        wanted.notice(f"the variables of {where} are not set; a job's are, under environment_variables")
    return wanted


def add_conda_package(wanted: Wanted, text: str, where: str) -> None:
    """`channel::name=1.2=build`, `name >=1.2,<2`, `name[version='1.2']`.

    A package that conda_names.txt does not know is left out, not looked for on PyPI.
    """
    bare = _without_comment(text)
    if bracket := re.fullmatch(r"([^\[]+)\[(.*)\]", bare):
        asked = re.search(r"version\s*=\s*['\"]?([^'\"\]]*)['\"]?", bracket[2])
        bare = f"{bracket[1].strip()} {asked[1] if asked else ''}"
    match = CONDA.fullmatch(bare)
    if not match:
        raise UserError(f'environment: {where}: "{text}" is not a conda package')
    name, version = canonicalize_name(match["name"]), match["version"].strip()
    if name == "python":
        wanted.python = str(_requirement(f"python{_conda_version(version)}", text, where).specifier) or None
    elif name not in INTERPRETER:
        known = conda_names().get(name)
        if known is None:
            wanted.notice(
                f"{match['name']} is left out: this conda package is not known to be on PyPI (if your code needs it,"
                " name PyPI's under pip:)"
            )
        else:
            wanted.add(_requirement(f"{known}{_conda_version(version)}", text, where), conda=True)


@functools.cache
def conda_names() -> dict[str, str]:
    """Conda's names of Python packages -> PyPI's, both in canonical spelling."""
    text = Path(__file__).with_name("conda_names.txt").read_text(encoding="utf-8")
    words = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {each[0]: each[-1] for each in words}


def _conda_version(version: str) -> str:
    """Conda's match specification as PEP 440 has it: `=1.2` is fuzzy, `=1.2=build` and `==1.2` are not."""
    if "|" in version:  # alternatives: PEP 440 has no "or"
        return ""
    if re.match(r"[<>!~]", version):
        # Conda takes `>=1.2.*`, and means `>=1.2`.
        return ",".join(re.sub(r"^([<>]=?\s*[^*]*?)\.?\*$", r"\1", part.strip()) for part in version.split(","))
    if "," in version:  # `=1.2,!=1.2.3`
        return ",".join(_conda_version(part.strip()) for part in version.split(","))
    exact = version.startswith("==")
    parts = version.lstrip("= ").replace("=", " ").split()
    number = parts[0].rstrip("*").rstrip(".") if parts else ""
    if not number:  # `*`, `*=cuda*`
        return ""
    if "*" in parts[0]:
        return f"=={number}.*"
    return f"=={number}" if exact or len(parts) > 1 or not re.fullmatch(r"[\d.]+", number) else f"=={number}.*"


def add_pip_lines(
    wanted: Wanted, lines: Iterable[str], where: str, read: Callable[[str], Iterable[str]] | None = None
) -> None:
    """The lines of a requirements file.

    read: gives the lines of another file that one refers to (`-r`); without it that is an error.
    """
    for line in _joined(lines):
        if not line.startswith("-"):
            text = re.sub(r"\s--?\w.*$", "", line)
            if "--hash" in line:
                wanted.notice("the hashes of packages are not checked")
            wanted.add(_requirement(_named(text), line, where))
            continue
        words = shlex.split(line.replace("=", " ", 1) if re.match(r"--[\w-]+=", line) else line)
        short = re.fullmatch(r"(-[a-z])(\S+)", words[0])
        option, value = (short[1], short[2]) if short else (words[0], " ".join(words[1:]))
        if option in FILES:
            if read is None:
                raise UserError(
                    f'environment: {where}: "{line}": only this file reaches Azure\'s build; list the packages in it'
                )
            if option in FILES[:2]:
                add_pip_lines(wanted, read(value), value, read)
            else:
                wanted.notice(f"the constraints of {value} are not read")
        elif option in SOURCES:
            wanted.options.append(f"{option} {value}".strip())
        elif option in ("-e", "--editable"):
            wanted.add(_requirement(_named(value), line, where))
        else:
            wanted.notice(f"pip's option {option} is not used")


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """The lines with continuations joined and comments gone."""
    text = ""
    for line in lines:
        text += line.rstrip("\n")
        if text.endswith("\\"):
            text = text[:-1] + " "
            continue
        if text := _without_comment(text):
            yield text
        text = ""
    if text := _without_comment(text):
        yield text


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line).strip()


def _named(text: str) -> str:
    """A bare address with the name that its packages goes by: `#egg=`, else that of the wheel or the repository."""
    if not REMOTE.fullmatch(text):
        return text
    egg = re.search(r"[#&]egg=([\w.-]+)", text)
    last = PurePosixPath(re.sub(r"[#?].*|(?<=\w)@[^/]*$", "", text)).name
    name = egg[1] if egg else re.split(r"-\d", last.removesuffix(".git"))[0]
    return f"{name} @ {text}"


def _requirement(text: str, line: str, where: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        if not OWN_FILE.match(text):
            problem = f"is not a requirement: {str(error).splitlines()[0]}"
            raise UserError(f'environment: {where}: "{line}" {problem}') from error
        requirement = None
    if requirement is None or (requirement.url or "").startswith("file:"):
        raise UserError(
            f'environment: {where}: "{line}": a file of your own does not reach Azure\'s build;'
            " give a name and a version that an index has"
        )
    return requirement
