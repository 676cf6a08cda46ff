"""A local Azure ML workspace with the interface of azure-ai-ml, and the command `aml`."""
