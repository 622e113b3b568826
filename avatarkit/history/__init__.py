"""Sightings into visits of stages, with bounds: what is known for certain."""
