"""What ends a script before its time: input that cannot work (exit status 2), a signal (130, 143)."""


class InputError(ValueError):
    """Input from outside is unusable: names what was received and what would do."""


class Stopped(Exception):
    """A signal asked for a stop, and what was running has come to a clean one.

    Attributes:
        signal: int, its number.
        advice: str, how to go on.
    """

    def __init__(self, signal, advice=""):
        super().__init__(advice)
        self.signal, self.advice = signal, advice
