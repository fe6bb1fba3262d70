"""Exceptions that end a command early: unusable input (exit status 2) and signals (exit status 130 or 143)."""


class InputError(ValueError):
    """Input from outside is unusable. The message names the input and says what would be accepted."""


class Stopped(BaseException):
    """The program stopped cleanly after a signal.

    Not an `Exception`, so that code that continues after errors does not catch it.

    Attributes:
        signal: int, the number of the signal.
        advice: str, how to continue later.
    """

    def __init__(self, signal: int, advice: str = ""):
        super().__init__(advice)
        self.signal, self.advice = signal, advice


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; the name of its class if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
