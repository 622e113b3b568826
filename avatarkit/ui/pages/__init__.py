"""Show the pages of the app."""
