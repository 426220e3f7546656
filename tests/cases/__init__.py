"""A table of inputs, each with its expected outcome: read, answered, or refused in one line.

A row is a `Case` of `cells.py`, `texts.py`, `times.py` or `streams.py`, and `test_cases.py` takes
each one in each format of `table.py`: training reads the file, the specification is made and goes
through JSON, and the board reads the file by it. Then the command answers all of them. `labels.py`,
`folders.py` and `sounds.py` have tables of their own form, each with its test. To add a case, add a
row.

The issue's kinds of mistakes, by which the rows are marked:

    A  a line that can't be used ends a stream
    B  a file that trains can't be run
    C  results depend on the board's Python
    D  times are misread in silence
    E  data is lost in silence
    F  a label is invented, lost or leaked
    G  a fault ends in more than one line
"""
