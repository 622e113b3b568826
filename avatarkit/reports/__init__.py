"""Draw charts, and format frames as tables and CSV."""
