"""The drivers: one file a chip, each following its datasheet."""
