"""Generators of all references in `tests/parity/data`, from the authors' released code.

Each takes the path of a checkout at the commit that it names, runs the authors' code from there on
the inputs of the file, in float64, and writes the results beside them; `--check` compares instead.
"""
