"""What a user of the official SDK writes: page by offset until a short page; prints the ids."""

import os
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkgaussdbfornosql.v3 import (
    GaussDBforNoSQLClient,
    ShowAllInstancesBackupsNewRequest,
)

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
offset = 0
while True:
    request = ShowAllInstancesBackupsNewRequest(offset=offset, limit=100, type="Instance")
    page = client.show_all_instances_backups_new(request).backups
    sys.stdout.writelines(f"{backup.id}\n" for backup in page)
    if len(page) < 100:
        break
    offset += len(page)
