"""Reading configs, and checking what they say. For the package itself, nothing is public."""

__all__: list[str] = []
