"""Why a checkpoint is not taken."""


class RefusedCheckpointError(ValueError):
    """A file holds more than tensors and plain values, so it is not read at all."""


class IncompleteCheckpointError(ValueError):
    """A file is empty, cut short, damaged or no checkpoint."""


class UnreadableCheckpointError(OSError):
    """A file is there, but the machine does not give it out; it may well be sound."""
