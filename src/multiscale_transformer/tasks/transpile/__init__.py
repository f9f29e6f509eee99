"""A rule transpiler: functions of a subset of Python as JavaScript."""
