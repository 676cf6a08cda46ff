"""The other target: a workspace in Azure, reached with azure-ai-ml's own client."""
