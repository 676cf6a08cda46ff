"""What Azure's resource types look like: asked of azmcp, which carries Bicep's own types, and kept in a folder."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .kinds import SIMPLE, Field, Kind, Limits, ListOf, Named, OneOf, Shape

# Types that azmcp lists and cannot load ("with apiVersion 2023-01-01 not supported"), in its own form, and of their
# properties those that are used here: learn.microsoft.com/azure/templates/microsoft.insights, read on 2026-11-30.
OURS = Path(__file__).with_name("types")


class ToolMissing(RuntimeError):
    """The one line that says which tool is missing and how to get it."""


@dataclass(frozen=True)
class Resource:
    """One resource type in the newest version azmcp knows."""

    type: str
    version: str
    scopes: str
    body: Shape


class Catalogue:
    """Resource types by name. An answer of azmcp takes two seconds, so it is kept in `cache`, one file a type."""

    def __init__(self, azmcp: Path | None, cache: Path):
        self._azmcp = azmcp
        self._cache = cache
        self._known: dict[str, Resource | None] = {}

    @classmethod
    def beside(cls, tools: Path) -> "Catalogue":
        """The catalogue of a tools folder: azmcp as npm installed it in `node/`, its answers kept by its version."""
        azmcp = next(tools.glob("node/node_modules/@azure/mcp-*/dist/azmcp*"), None)
        if azmcp is None:
            return cls(None, tools / "bicep-types")
        version = json.loads((azmcp.parents[1] / "package.json").read_text(encoding="utf-8"))["version"]
        return cls(azmcp, tools / "bicep-types" / version)

    def resource(self, name: str) -> Resource | None:
        """The type of this name in any spelling of case, or None if there is none.

        Raises ToolMissing if it is not in the cache and azmcp is not installed.
        """
        key = name.lower()
        if key not in self._known:
            answer = self._answer(name)
            self._known[key] = _Schema(answer).resource if answer else None
        return self._known[key]

    def _answer(self, name: str) -> list[dict[str, Any]] | None:
        file = name.lower().replace("/", "_") + ".json"
        kept = self._cache / file
        for known in (OURS / file, kept):
            if known.is_file():
                return json.loads(known.read_text(encoding="utf-8"))
        if self._azmcp is None:
            raise ToolMissing(f"azmcp is not beside {self._cache}: install it with `make tools`")
        done = subprocess.run(
            [self._azmcp, "bicepschema", "get", "--resource-type", name],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "AZURE_MCP_COLLECT_TELEMETRY": "false"},
        )
        try:
            answer = json.loads(done.stdout[done.stdout.find("{\n") :])  # of a type it does not know it speaks first
        except ValueError:
            raise ToolMissing(f"{self._azmcp} does not work: {(done.stderr or done.stdout).strip()[:200]}") from None
        if answer["status"] != 200:
            if "not found" in answer["message"] or answer["status"] == 404:
                return None
            raise ToolMissing(f"{self._azmcp} does not work: {answer['message'][:200]}")
        self._cache.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(answer["results"]["BicepSchemaResult"]), encoding="utf-8")
        beside.replace(kept)
        return answer["results"]["BicepSchemaResult"]


class _Schema:
    """One answer of azmcp: a resource, and the objects its properties name."""

    def __init__(self, answer: list[dict[str, Any]]):
        self._objects = {item["name"]: item for item in answer if item["$type"] in ("Object", "DiscriminatedObject")}
        self._resource = next(item for item in answer if item["$type"] == "Resource")

    @cached_property
    def resource(self) -> Resource:
        name, version = self._resource["name"].split("@")
        return Resource(name, version, self._resource["writableScopes"], self._shape(self._resource["bodyType"]))

    def _shape(self, item: dict[str, Any]) -> Shape:
        extra = item.get("additionalPropertiesType")
        return Shape(
            name=item["name"].rsplit("/", 1)[-1],
            fields=self._fields(item.get("properties") or item.get("baseProperties") or []),
            extra=self._kind(extra) if extra else None,
            tag=item.get("discriminator"),
            variants={
                next(p["type"] for p in element["properties"] if p["name"] == item["discriminator"]): self._fields(
                    element["properties"]
                )
                for element in item.get("elements", [])
            },
        )

    def _fields(self, properties: list[dict[str, Any]]) -> dict[str, Field]:
        fields = {}
        for item in properties:
            flags = item.get("flags", "")
            fields[item["name"]] = Field(
                self._kind(item["type"]),
                required="Required" in flags,
                read_only="ReadOnly" in flags,
                known_at_start="DeployTimeConstant" in flags,
                limits=_limits(item.get("modifiers", "")),
            )
        return fields

    def _kind(self, name: str) -> Kind:
        if name in SIMPLE:
            return SIMPLE[name]
        if name in self._objects:
            return Named(name, lambda wanted: self._shape(self._objects[wanted]))
        if name.endswith("[]"):
            return ListOf(self._kind(name[:-2]))
        # `A | B | string` leaves room for values yet to come; to us, what is not listed is a slip of the pen.
        return OneOf(tuple(value for value in name.split(" | ") if value != "string"))


def _limits(modifiers: str) -> Limits:
    numbers = {name: int(value) for name, value in re.findall(r"(m(?:in|ax)(?:Length|Value)): (-?\d+)", modifiers)}
    pattern = re.search(r"pattern: (.+)$", modifiers)
    return Limits(
        numbers.get("minLength"),
        numbers.get("maxLength"),
        numbers.get("minValue"),
        numbers.get("maxValue"),
        pattern[1] if pattern else None,
    )
