"""What is typed in a checkout; ``benches`` is what ``scripts/bench`` runs."""
