"""Contender: one first sync into an empty lake."""

import os

import backup_frames as bf

report = bf.sync_backups(lake=os.environ["OUT"])
assert report.verdict == "complete"
