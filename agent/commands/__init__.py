"""The verbs of ``cargobox``: one thin file each, with ``configure(parser)`` and ``run(args)``."""
