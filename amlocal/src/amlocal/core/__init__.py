"""What everything stands on: errors, the workspace on disk, files, names, processes, the MLflow store."""
