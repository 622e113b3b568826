"""Turn sightings into visits of stages and whole lives, with bounds on their times."""
