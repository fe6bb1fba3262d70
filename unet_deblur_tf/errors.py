"""The one error that means "what you gave me cannot work"; scripts print it and exit with status 2."""


class InputError(ValueError):
    """Input from outside is unusable: names what was received and what would do."""
