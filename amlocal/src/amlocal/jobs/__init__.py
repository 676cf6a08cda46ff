"""A plan becomes processes: submission, the runner, logs, status, cancelling, reuse."""
