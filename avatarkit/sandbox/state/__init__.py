"""What the sandbox keeps in its folder: its clock, its files, who serves it."""
