"""The tests are a package: a package of others installs a `tests` of its own, which would stand before a mere folder."""
