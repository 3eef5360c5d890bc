"""Recorder: raw streams to MCAP on the card, so that what happened can be run through the agent again."""
