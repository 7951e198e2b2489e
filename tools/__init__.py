"""Programs for wanbound's developers and its workflows. Nothing here runs on a host."""
