"""Batch endpoints: a deployment is kept as a plan, and an invocation is a job of the ordinary kind.

store.py           endpoints (in the store of all endpoints) and their deployments on disk
plan.py            a deployment becomes what its jobs are made of: checked, its code and model kept
request.py         an invocation, read from the body that Azure documents
invoke.py          a deployment and a request become a job
mlflow_driver.py   the scoring script of MLflow models that are deployed without one
server.py          one process an endpoint: `POST /jobs`, on loopback
"""
