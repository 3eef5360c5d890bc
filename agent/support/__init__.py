"""One archive for a bug report: how this box is set up and what it says; no secrets, no data of the cargo."""
