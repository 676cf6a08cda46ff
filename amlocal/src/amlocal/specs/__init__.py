"""Azure ML YAML -> azure-ai-ml's entity -> a checked plan of processes."""

from amlocal.specs.load import load

__all__ = ["load"]
