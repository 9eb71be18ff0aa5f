"""What goes wrong with data files."""


class DataError(ValueError):
    """A fault in a data file; the message names the file, the value found and the fix."""
