"""What is attached and answers, what is wrong, and how to mend it: one file for each area that is looked at.

``examination`` runs the checks, each by itself; ``report`` prints what they found.
"""

from agent.doctor.examination import CHECKS, examine
from agent.doctor.finding import Area, Finding, Patient, State

__all__ = ["CHECKS", "Area", "Finding", "Patient", "State", "examine"]
