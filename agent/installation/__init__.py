"""The agent as a service of systemd: its units, what installing them changes, how the service stands."""
