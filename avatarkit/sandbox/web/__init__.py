"""The sandbox's HTTP: routes, request bodies, validation, rate limits."""
