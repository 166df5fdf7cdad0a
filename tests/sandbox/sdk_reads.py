"""Pages all backups out of a sandbox with the vendor's SDK, as its users do, and prints them."""

import json
import os
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkgaussdbfornosql.v3 import (
    GaussDBforNoSQLClient,
    ListInstancesRequest,
    ShowAllInstancesBackupsNewRequest,
)


def connect(secret):
    credentials = BasicCredentials(os.environ["AK"], secret, os.environ["PROJECT"])
    builder = GaussDBforNoSQLClient.new_builder().with_credentials(credentials)
    return builder.with_endpoints([os.environ["ENDPOINT"]]).build()


def read(client, **filters):
    found = []
    while True:
        request = ShowAllInstancesBackupsNewRequest(offset=len(found), limit=100, **filters)
        answer = client.show_all_instances_backups_new(request)
        found += json.loads(answer.raw_content)["backups"]
        if not answer.backups or len(found) >= answer.total_count:
            return found


client = connect(os.environ["SK"])
result = {level: read(client, type=level) for level in ("Instance", "DatabaseTable")}
result["window"] = read(
    client, begin_time="2026-01-20T00:00:00+0800", end_time="2026-01-25T00:00:00+0800"
)
result["redis"] = read(client, datastore_type="redis", backup_type="Auto")
result["instances"] = client.list_instances(ListInstancesRequest(limit=100)).total_count
try:
    read(connect("wrong"))
except ServiceResponseException as error:
    result["wrong"] = [error.status_code, error.error_code]
sys.stdout.write(json.dumps(result))
