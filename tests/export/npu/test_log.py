"""Reading the vendor's log. The lines are from logs of rknn-toolkit2 2.5.0."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm_export.npu.rknn import log

TABLE = """\
D RKNN: [11:36:37.689] >>>>>> start: rknn::RKNNModelRegCmdbuildPass
D RKNN: [11:36:37.689] -------------------------------------------------------------------\
-----------------
D RKNN: [11:36:37.689]     Network Layer Information Table
D RKNN: [11:36:37.689] -------------------------------------------------------------------\
-----------------
D RKNN: [11:36:37.689] ID   OpType     DataType Target InputShape     OutputShape \
Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [11:36:37.689] -------------------------------------------------------------------\
-----------------
D RKNN: [11:36:37.689] 0    InputOperator INT8     CPU    \\     (1,6,1,1)   0/0/0     0  \
    InputOperator:x
D RKNN: [11:36:37.689] 4    ConvSigmoid   INT8     NPU    (1,70,1,1),(64,70,1,1),(64)  \
(1,64,1,1)   218/128/218     4      Conv:conv_i
D RKNN: [11:36:37.689] 11   OutputOperator INT8    CPU    (1,64,1,1)     \\     0/0/0     \
0      OutputOperator:c
D RKNN: [11:36:37.689] -------------------------------------------------------------------\
-----------------
D RKNN: [11:36:37.689] <<<<<<<< end: rknn::RKNNModelRegCmdbuildPass
D RKNN: [11:36:37.690] 4   ConvSigmoid W_i      INT8      (64,70,1,1)  | 0x00000000 \
0x00001400 0x00001400 x
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


# The tables of rknn-toolkit2 2.5.0 have two layouts: rk3576's and rv1126b's have one more column,
# which is blank in some rows.
@pytest.mark.parametrize(
    ("name", "product"),
    [
        (
            "rk3588-fp16-cell",
            (
                "ConvSigmoid",
                "FLOAT16",
                "NPU",
                "(1,22,1,1),(16,22,1,1),(16)",
                "(1,16,1,1)",
                "50/32/50",
                1.0,
            ),
        ),
        (
            "rk2118-fp16-cell",
            (
                "Conv",
                "FLOAT16",
                "NPU",
                "(1,22,1,1),(16,22,1,1),(16)",
                "(1,16,1,1)",
                "123/192/192",
                0.0,
            ),
        ),
        (
            "rv1126b-fp16-cell",
            (
                "ConvSigmoid",
                "FLOAT16",
                "NPU",
                "(1,22,1,1),(16,22,1,1),(16)",
                "(1,16,1,1)",
                "157/32/157",
                1.0,
            ),
        ),
        (
            "rk3576-w8a8-cell",
            (
                "ConvSigmoid",
                "INT8",
                "NPU",
                "(1,22,1,1),(16,22,1,1),(16)",
                "(1,16,1,1)",
                "110/64/110",
                0.0,
            ),
        ),
        (
            "rk3588-fp16-lstm",
            (
                "exLSTM",
                "FLOAT16",
                "NPU",
                "(1,1,6),(16,6,1,1),(16,16,1,1),(128),...",
                "(1,1,16),(1,1,16)",
                "0/0/0",
                12.0,
            ),
        ),
    ],
)
def test_operators_of_each_layout(name, product):
    rows = log.operators((Path(__file__).parent / "data" / f"{name}.log").read_text("utf-8"))
    assert len(rows) == 4
    (row,) = [r for r in rows if r["operator"] == product[0]]
    assert tuple(row.values())[1:8] == product
    assert rows[0]["name"] == "InputOperator:x"
    assert rows[-1]["operator"] == "OutputOperator"


@pytest.mark.parametrize(
    "change",
    [
        ("Cycles(DDR/NPU/Total)", "Ticks"),
        ("FLOAT16  NPU    (1,6,1,1),", "FLOAT16  NPU    (1,6,1,1), "),
        ("50/32/50                 1", "50/32/50                 x"),
    ],
)
def test_a_table_that_is_not_known_is_no_table(change):
    text = (Path(__file__).parent / "data" / "rk3588-fp16-cell.log").read_text("utf-8")
    assert change[0] in text
    with pytest.raises(ValueError, match=r"no column for cycles|could not convert"):
        log.operators(text.replace(*change))


def test_memory():
    assert log.memory_kb(TABLE) == {"internal": 0.5, "weight": 24.5}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("E RKNN: [11:36:37.689] Unkown op target: 0", "RKNN: [11:36:37.689] Unkown op target: 0"),
        (
            "\x1b[1;31mE\x1b[0m \x1b[1;31minit_runtime: not supported\x1b[0m",
            "init_runtime: not supported",
        ),
        (
            "D RKNN: [16:2E RKNN: [16:27:20.403] Unkown op target: 0",
            "RKNN: [16:27:20.403] Unkown op target: 0",
        ),
    ],
)
def test_an_error_line_is_found(line, message):
    assert log.errors(TABLE + line + "\n") == [message]


def test_other_lines_are_no_errors():
    assert log.errors(TABLE + "W RKNN: Error E\nI Export RKNN model\nEverything fine\n") == []


def test_an_operator_that_the_converter_has_put_in_has_no_name():
    """rk3588, fp16, a cell with one input channel."""
    table = (
        "D RKNN: [16:22:01.000]                    Network Layer Information Table\n"
        "D RKNN: [16:22:01.000] ID   OpType   DataType Target InputShape              OutputShape "
        " Cycles(DDR/NPU/Total) RW(KB) FullName\n"
        "D RKNN: [16:22:01.000] 3    Conv     FLOAT16  NPU    (1,1,1,1),(1,1,1,1)     (1,1,1,1)   "
        " 2/32/32               0            \n"
        "D RKNN: [16:22:01.000] <<<<<<<< end\n"
    )
    (row,) = log.operators(table)
    assert (row["operator"], row["name"], row["cycles"], row["traffic_kb"]) == (
        "Conv",
        "",
        "2/32/32",
        0.0,
    )
