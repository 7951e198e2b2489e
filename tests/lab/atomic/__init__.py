"""Old or new, never between: every step of a change, ended there."""
