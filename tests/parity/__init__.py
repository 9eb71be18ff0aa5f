"""Numeric references of the authors' code; a package, as its tests have the names of others."""
