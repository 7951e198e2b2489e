"""What a command says instead of its answer."""


class OperatorError(Exception):
    """Something that the operator has to put right; the text says what, and how."""
