"""Service to lake: plan, run, apply, report."""
