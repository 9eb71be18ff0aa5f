"""Which files belong to what: layouts, names, domains, splits and the labelled ones.

For the package itself; nothing is public.
"""

__all__: list[str] = []
