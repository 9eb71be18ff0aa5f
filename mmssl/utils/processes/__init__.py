"""Processes: children, signals, threads, launchers and locks of folders.

For the package itself; nothing is public.
"""

__all__: list[str] = []
