class LabError(Exception):
    """The error, its consequence and its fix; shown without a traceback."""
