"""Calibration mathematics and certificates: knows no bus, no agent, no file but the certificate."""
