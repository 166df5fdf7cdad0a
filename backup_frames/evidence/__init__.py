"""What auditors ask, answered with a proof: a pack of files, its check, and a calendar of days."""
