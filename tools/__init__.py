"""Programs for those who work on wanbound and for its workflows. Nothing here runs on a host."""
