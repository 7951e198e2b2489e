class LabError(Exception):
    """What went wrong, what follows from it and what to do; shown without a traceback."""
