"""Logs through the very pipeline that runs live, as fast as it goes."""
