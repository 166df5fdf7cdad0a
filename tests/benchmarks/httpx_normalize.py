"""Contender: a plain httpx loop, json_normalize, partitioned Parquet."""

import os

import httpx
import pandas as pd
from normalize import write_normalized

url = (
    f"{os.environ['BACKUP_FRAMES_ENDPOINT']}/v3.1/{os.environ['BACKUP_FRAMES_PROJECT_ID']}/backups"
)
frames = []
with httpx.Client(headers={"X-Auth-Token": os.environ["BACKUP_FRAMES_TOKEN"]}) as client:
    for level in ("Instance", "DatabaseTable"):
        offset = 0
        while True:
            params = {"type": level, "limit": 100, "offset": offset}
            rows = client.get(url, params=params).raise_for_status().json()["backups"]
            if rows:
                frames.append(pd.json_normalize(rows))
            if len(rows) < 100:
                break
            offset += 100
write_normalized(pd.concat(frames, ignore_index=True), os.environ["OUT"])
