"""Draw charts, and turn frames into tables and CSV."""
