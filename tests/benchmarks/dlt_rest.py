"""Contender: dlt's REST client with an offset paginator, Parquet files as destination."""

import os

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import OffsetPaginator

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
client = RESTClient(
    base_url=os.environ["BACKUP_FRAMES_ENDPOINT"],
    headers={"X-Auth-Token": os.environ["BACKUP_FRAMES_TOKEN"]},
    paginator=OffsetPaginator(limit=100, total_path="total_count"),
    data_selector="backups",
)


@dlt.resource(name="backups", write_disposition="append")
def backups():
    for level in ("Instance", "DatabaseTable"):
        path = f"/v3.1/{os.environ['BACKUP_FRAMES_PROJECT_ID']}/backups"
        yield from client.paginate(path, params={"type": level})


pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=os.environ["OUT"] + "-work",
    destination=dlt.destinations.filesystem(bucket_url=f"file://{os.environ['OUT']}"),
)
pipeline.run(backups(), loader_file_format="parquet")
