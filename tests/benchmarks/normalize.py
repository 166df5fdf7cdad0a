"""What json_normalize users do next: times parsed, lists as JSON text, one Parquet file per day."""

import json

import pandas as pd


def write_normalized(backups: pd.DataFrame, out: str) -> None:
    for name in ("begin_time", "end_time"):
        backups[name] = pd.to_datetime(backups[name], utc=True)
    backups["date"] = backups["begin_time"].dt.date.astype(str)
    backups["database_tables"] = backups["database_tables"].map(json.dumps)
    backups.to_parquet(out, partition_cols=["date"])
