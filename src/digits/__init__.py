"""Handwritten digits: the model, and what is normal for it. Runs in Azure ML jobs and behind an endpoint."""
