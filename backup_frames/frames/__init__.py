"""One table set: response bodies in; Arrow tables, pandas DataFrames and Parquet bytes out.

`schema` says what the tables are, `flatten` makes them of bodies, `deduplicate` orders them and keeps
each backup once, `records` turns them back, `partitions` cuts and encodes them by date, `frames`
is what users hold. No network, and no disk but for `BackupFrames.write`.
"""
