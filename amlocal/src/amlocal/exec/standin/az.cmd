@rem az, as "aml exec" lets a command find it. -P: what lies in the current folder is not ours to import.
@"%AML_PYTHON%" -P -m amlocal.cli.az %*
