"""The kinds of things a job can run.

A new kind is a file like `specs.parallel`, with a line here, and one like `jobs.run.parallel`, with a line in
`jobs.run.handlers`.
"""

from amlocal.specs.nodes import Node
from amlocal.specs.parallel import ParallelNode
from amlocal.specs.sweep import SweepNode

# A job's or a node's `type`, and the class that makes a step of the plan of it. Pipelines consist of these.
NODE_KINDS: dict[str, type[Node]] = {
    "command": Node,
    "sweep": SweepNode,
    "parallel": ParallelNode,
}
