"""Make calls fail on request: rules, and the middleware that applies them."""
