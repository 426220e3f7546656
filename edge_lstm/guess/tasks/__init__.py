"""What each task makes of the data. A file has `PLAN`, see `plan.py`."""
