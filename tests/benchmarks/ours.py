"""Contender: one first sync of the backups into an empty lake; prints its requests."""

import os

import backup_frames as bf

# The peers read no instances and policies, so neither does this; all else is as by default.
report = bf.sync_backups(lake=os.environ["OUT"], inventory=False)
assert report.verdict == "complete"
print(report.requests, report.certificate.throttles)
