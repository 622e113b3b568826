"""The log of what was sent and seen."""
