"""The log of submissions, personas and sightings."""
