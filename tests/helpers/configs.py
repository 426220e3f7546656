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

# Its splits are drawn, and the keys of [train] are to follow.
DRAWN = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
label = "activity"
group = "subject"
[data.split]
by = "group"
[model]
task = "classify"
hidden_size = 6
[train]
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


TURBOFAN = """
[data]
source = "cmapss"
train_path = "train.txt"
test_path = "test.txt"
rul = "rul.txt"
channels = ["sensor_21", "setting_1"]

[data.split]
by = "given"
val = 0.3

[model]
task = "regress"
targets = ["life"]
target_cap = 3
hidden_size = 4

[train]
epochs = 1
"""


LANGUAGE = """
[data]
source = "text"
path = "prose.txt"
lower = true
keep = "aehmnorst"
window = 7

[data.split]
by = "time"
val = 0.1
test = 0.15

[model]
task = "language"
hidden_size = 9
num_layers = 2

[train]
epochs = 2
batch_size = 4
learning_rate = 0.01
accelerator = "cpu"
"""
