"""Contender: the official SDK in an offset loop, json_normalize, partitioned Parquet."""

import json
import os

import pandas as pd
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkgaussdbfornosql.v3 import (
    GaussDBforNoSQLClient,
    ShowAllInstancesBackupsNewRequest,
)
from normalize import write_normalized

credentials = BasicCredentials(
    os.environ["HUAWEICLOUD_SDK_AK"],
    os.environ["HUAWEICLOUD_SDK_SK"],
    os.environ["BACKUP_FRAMES_PROJECT_ID"],
)
client = (
    GaussDBforNoSQLClient.new_builder()
    .with_credentials(credentials)
    .with_endpoints([os.environ["BACKUP_FRAMES_ENDPOINT"]])
    .build()
)
frames = []
for level in ("Instance", "DatabaseTable"):
    offset = 0
    while True:
        request = ShowAllInstancesBackupsNewRequest(offset=offset, limit=100, type=level)
        answer = client.show_all_instances_backups_new(request)
        rows = json.loads(answer.raw_content)["backups"]
        if rows:
            frames.append(pd.json_normalize(rows))
        if len(rows) < 100:
            break
        offset += 100
write_normalized(pd.concat(frames, ignore_index=True), os.environ["OUT"])
