"""Handwritten digits: data, network, jobs, scoring, drift. Runs in Azure ML jobs; never imports amlocal."""
