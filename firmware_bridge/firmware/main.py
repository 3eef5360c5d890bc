"""What a board runs first: chooses the program among those in its flash, and starts it."""

import sys


class Launcher:
    """The program's view of how it was started."""

    def __init__(self):
        self.slot = "a"
        self.trial = False

    def keep(self):
        """Make the program that runs the one to start from now on."""

    def prompt_at_next_boot(self):
        """Let the next boot end at MicroPython's prompt."""

    def run(self):
        """Start the program."""
        sys.path.insert(0, self.slot)
        import program

        program.run(self)


Launcher().run()
