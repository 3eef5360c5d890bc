"""Calibrating with a person: what is asked, what is shown, what came of it; one file knows a terminal."""
