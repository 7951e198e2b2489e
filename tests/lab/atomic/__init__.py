"""A change that is killed at any step leaves the old state or the new one, never a mixture."""
