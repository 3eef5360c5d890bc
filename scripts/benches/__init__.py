"""One file a bench; ``scripts/bench`` runs them."""
