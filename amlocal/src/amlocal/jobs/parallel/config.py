"""What a parallel job is told: the fields of its CONFIG.json, and Azure's settings among the script's arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from amlocal.core.errors import UserError

# The settings that Azure's parallel jobs take among the program's arguments, each with a value.
SETTINGS = (
    "allowed_failed_count",
    "allowed_failed_percent",
    "append_row_dataframe_header",
    "copy_logs_to_parent",
    "error_threshold",
    "first_task_creation_timeout",
    "metrics_name_prefix",
    "progress_update_timeout",
    "push_metrics_to_parent",
    "resource_monitor_interval",
    "task_overhead_timeout",
)


@dataclass(frozen=True)
class Config:
    """A parallel job, its expressions resolved; the defaults are Azure's."""

    python: str  # the job's interpreter
    code: str  # the workers' current folder
    entry_script: str  # below `code`
    input: dict[str, str]  # {"path": a file or folder, "type": "uri_folder" | "uri_file" | "mltable"}
    arguments: list[str] = field(default_factory=list)  # program_arguments, split; Azure's own settings among them
    mini_batch_size: str | None = None
    partition_keys: list[str] = field(default_factory=list)
    append_row_to: str | None = None  # a file, or a folder that is there
    error_threshold: int = -1  # items
    mini_batch_error_threshold: int = -1
    max_retries: int = 2
    timeout: float = 60  # seconds of one run()
    concurrency: int | None = None  # instances times max_concurrency_per_instance; None: a process per core
    logging_level: str = "INFO"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Config":
        """A field that is null or missing has its default. Raises UserError for an unknown or missing one."""
        names = {one.name for one in fields(cls)}
        unknown = set(content) - names
        if unknown:
            raise UserError(f"parallel job: unknown field {sorted(unknown)[0]}; there are {', '.join(sorted(names))}")
        missing = {"python", "code", "entry_script", "input"} - set(content)
        if missing:
            raise UserError(f"parallel job: {sorted(missing)[0]} is missing")
        return cls(**{name: value for name, value in content.items() if value is not None})


def split_arguments(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """A program's arguments without Azure's own settings, and those settings by name."""
    own: list[str] = []
    settings: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in SETTINGS:
            settings[name] = value if equals else next(rest, "")
        else:
            own.append(argument)
    return own, settings


@dataclass(frozen=True)
class Rules:
    """What Azure's settings among the arguments change; `Config` gives the rest."""

    error_threshold: int
    mini_batch_error_threshold: int
    allowed_failed_percent: float
    overhead: float  # seconds to read a mini batch
    start: float  # seconds until a worker is ready
    header: bool

    @classmethod
    def of(cls, config: Config, settings: Mapping[str, str]) -> "Rules":
        """Raises UserError for a value that is no number."""

        def number(name: str, default: float) -> float:
            try:
                return float(settings.get(name, default))
            except ValueError:
                raise UserError(f"program_arguments: --{name} {settings[name]} is not a number") from None

        return cls(
            int(number("error_threshold", config.error_threshold)),
            int(number("allowed_failed_count", config.mini_batch_error_threshold)),
            number("allowed_failed_percent", 100),
            number("task_overhead_timeout", 600),
            number("first_task_creation_timeout", 600),
            settings.get("append_row_dataframe_header", "").lower() == "true",
        )
