"""The error of a command."""


class OperatorError(Exception):
    """Something that the operator has to correct; the text says what, and how."""
