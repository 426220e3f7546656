"""Reading the vendor's log. The lines are from logs of rknn-toolkit2 2.5.0."""

from __future__ import annotations

import pytest

from edge_lstm_export.rknn import log

TABLE = """\
D RKNN: [11:36:37.689] >>>>>> start: rknn::RKNNModelRegCmdbuildPass
D RKNN: [11:36:37.689] ------------------------------------------------------------------------------------
D RKNN: [11:36:37.689]     Network Layer Information Table
D RKNN: [11:36:37.689] ------------------------------------------------------------------------------------
D RKNN: [11:36:37.689] ID   OpType     DataType Target InputShape     OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [11:36:37.689] ------------------------------------------------------------------------------------
D RKNN: [11:36:37.689] 0    InputOperator INT8     CPU    \\     (1,6,1,1)   0/0/0     0      InputOperator:x
D RKNN: [11:36:37.689] 4    ConvSigmoid   INT8     NPU    (1,70,1,1),(64,70,1,1),(64)  (1,64,1,1)   218/128/218     4      Conv:conv_i
D RKNN: [11:36:37.689] 11   OutputOperator INT8    CPU    (1,64,1,1)     \\     0/0/0     0      OutputOperator:c
D RKNN: [11:36:37.689] ------------------------------------------------------------------------------------
D RKNN: [11:36:37.689] <<<<<<<< end: rknn::RKNNModelRegCmdbuildPass
D RKNN: [11:36:37.690] 4   ConvSigmoid W_i      INT8      (64,70,1,1)  | 0x00000000 0x00001400 0x00001400 x
D RKNN: [11:36:37.690] Total Internal Memory Size: 0.5KB
D RKNN: [11:36:37.690] Total Weight Memory Size: 24.5KB
"""


def test_operators():
    rows = log.operators(TABLE)
    assert [(r["id"], r["operator"], r["dtype"], r["target"]) for r in rows] == [
        (0, "InputOperator", "INT8", "CPU"),
        (4, "ConvSigmoid", "INT8", "NPU"),
        (11, "OutputOperator", "INT8", "CPU"),
    ]
    assert rows[1] == {
        "id": 4,
        "operator": "ConvSigmoid",
        "dtype": "INT8",
        "target": "NPU",
        "inputs": "(1,70,1,1),(64,70,1,1),(64)",
        "outputs": "(1,64,1,1)",
        "cycles": "218/128/218",
        "traffic_kb": 4.0,
        "name": "Conv:conv_i",
    }
    assert log.operators("no table here") == []


def test_memory():
    assert log.memory_kb(TABLE) == {"internal": 0.5, "weight": 24.5}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("E RKNN: [11:36:37.689] Unkown op target: 0", "RKNN: [11:36:37.689] Unkown op target: 0"),
        ("\x1b[1;31mE\x1b[0m \x1b[1;31minit_runtime: not supported\x1b[0m", "init_runtime: not supported"),
    ],
)
def test_an_error_line_is_found(line, message):
    assert log.errors(TABLE + line + "\n") == [message]


def test_other_lines_are_no_errors():
    assert log.errors(TABLE + "W RKNN: Error E\nI Export RKNN model\nEverything fine\n") == []
