"""Charts, tables and CSV: how it reads."""
