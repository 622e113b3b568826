"""Run the sandbox's personas: lifecycle, records, video checks and webhooks."""
