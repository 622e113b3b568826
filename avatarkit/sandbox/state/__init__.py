"""Keep the state of a sandbox in its folder: clock, keys, and the process that serves it."""
