"""What ends a script before its time: input that cannot work (exit status 2), a signal (130, 143)."""


class InputError(ValueError):
    """Input from outside is unusable: names what was received and what would do."""


class Stopped(BaseException):
    """A signal asked for a stop, and what was running has come to a clean one.

    No `Exception`, so that nothing that goes on after errors takes it for one of them.

    Attributes:
        signal: int, its number.
        advice: str, how to go on.
    """

    def __init__(self, signal, advice=""):
        super().__init__(advice)
        self.signal, self.advice = signal, advice


def first_line(error):
    """What an exception says, in one line; its name if it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
