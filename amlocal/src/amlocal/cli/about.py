"""What is installed: this distribution's name, version and the packages it pins."""

import platform
import sys
from importlib import metadata

DISTRIBUTION = "amlocal"


def version(distribution: str = DISTRIBUTION) -> str | None:
    """The installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def version_text() -> str:
    lines = [("aml", version() or "not installed, run from source")]
    lines += [(name, version(name) or "missing") for name in ("azure-ai-ml", "mlflow", "knack")]
    lines += [("python", f"{platform.python_version()} ({platform.system()}) {sys.executable}")]
    return "\n".join(f"{name:<12} {text}" for name, text in lines)
