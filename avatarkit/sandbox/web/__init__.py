"""The sandbox's HTTP: routes, bodies, validation, rate limits."""
