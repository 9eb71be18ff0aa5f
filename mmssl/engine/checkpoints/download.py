"""Weights by their address: fetched once, and kept apart by the whole address."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process


def cached_file(url: str, folder: str | Path | None = None) -> Path:
    """Return where the file of an address is kept.

    Two hosts, folders or queries may end in the same name, so the place depends on all of it.

    Args:
        url: the address.
        folder: of the cache, by default that of `torch.hub`.
    """
    folder = Path(folder or Path(torch.hub.get_dir()) / 'checkpoints')
    code = hashlib.sha256(url.encode()).hexdigest()[:16]
    name = re.sub(r'[^\w.+-]', '_', Path(urlparse(url).path).name)[-80:] or 'weights'
    return folder / f'mmssl-{code}' / name


def fetch_once(url: str, folder: str | Path | None = None, progress: bool = False) -> Path:
    """Download a file that is not there yet, on local rank 0; return where it is.

    Raises:
        ValueError: the address gives no file.
    """
    file = cached_file(url, folder)
    if is_main_process() or int(os.environ.get('LOCAL_RANK', 0)) == 0:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(url, str(file), progress=progress)
            except (OSError, ValueError) as error:  # no network, no such host, no such file
                raise ValueError(
                    f'"{url}" could not be downloaded ({error}); fetch the file by other means '
                    'and name it by its path'
                ) from None
    barrier()
    return file
