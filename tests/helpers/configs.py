"""Configurations of the data sets that conftest.py writes."""

CLASSIFY = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
label = "activity"
group = "subject"

[data.split]
by = "group"
val = ["s4"]
test = ["s5"]

[model]
task = "classify"
hidden_size = 6

[train]
epochs = 2
batch_size = 4
accelerator = "cpu"
"""

FORECAST = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
window = 12
stride = 6

[data.split]
by = "time"
val = 0.2
test = 0.2

[model]
task = "forecast"
targets = ["b"]
horizon = 3
hidden_size = 6

[train]
epochs = 2
batch_size = 4
accelerator = "cpu"
"""
