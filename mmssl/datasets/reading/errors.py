"""What goes wrong with data files."""

import os
import stat


class DataError(ValueError):
    """A fault in a data file; the message names the file, the value found and the fix."""


def check_file(path: str) -> None:
    """Refuse what cannot be read to its end: a pipe would be waited for without end.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is a folder, pipe or device, empty, or may not be read.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f'{path} does not exist.') from None
    except OSError as error:
        raise DataError(
            f'{path} cannot be looked at ({error.strerror}). Give this user the right to read it.'
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(
            f'{path} is no file but a folder, pipe or device. Put the image there as a file.'
        )
    if not os.access(path, os.R_OK):
        raise DataError(f'{path} may not be read (permissions). Give this user the right to.')
    if not found.st_size:
        raise DataError(f'{path} is empty (0 bytes). Copy the file again.')
