"""Azure's monitor signals, computed on this machine over any collected data.

definition.py   what a schedule's `create_monitor` asks for, and what of it is computed in Azure only
job.py          a monitor that is due becomes a command job of the workspace
__main__.py     that job: python -m amlocal.monitors monitor.json FOLDER
places.py       where the data of a signal lies
tables.py       the data read: collected JSON lines, csv, JSON lines, parquet, MLTable
compute.py      one signal: two tables -> measures; features.py what is compared, drift.py and quality.py the metrics
results.py      what is printed, written and logged

The metrics are those of Microsoft's own Spark components, whose source is public (MIT):
https://github.com/Azure/azureml-assets, assets/model_monitoring/components/src. Where a docstring names a file, it is
one of there, read at commit a212de5 (July 2026); the tests hold values that it gave. scipy is imported in the job only.
"""
