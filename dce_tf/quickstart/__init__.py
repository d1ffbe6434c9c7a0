"""From a folder of photographs to a search page: what to do, and in which order."""
