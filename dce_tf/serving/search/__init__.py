"""Collections over HTTP: search, change, thumbnails."""
