"""A package, and not a mere folder: ebmlite brings a `tests` of its own, which would stand before one."""
