-- What extra holds under a name; searched as text where this engine's JSON refuses it (1e400, half a
-- surrogate).
CREATE MACRO extra_value(extra, name) AS CASE
    WHEN json_valid(extra) THEN json_extract(extra, '$.' || name)::VARCHAR
    ELSE nullif(regexp_extract(extra, '[{,]"' || name || '":("(?:[^"\\]|\\.)*"|[^,}]*)', 1), '')
END;

CREATE VIEW v_odd_value AS
-- extra also keeps what a column could carry in another notation: odd is what left its column null.
WITH kept AS MATERIALIZED (
    SELECT
        project_id, backup_id, datastore_type, datastore_version, database_count, extra,
        json_valid(extra) AS is_readable,
        [
            {'field': 'name', 'is_missing': name IS NULL},
            {'field': 'description', 'is_missing': description IS NULL},
            {'field': 'instance_id', 'is_missing': instance_id IS NULL},
            {'field': 'instance_name', 'is_missing': instance_name IS NULL},
            {'field': 'type', 'is_missing': backup_type IS NULL},
            {'field': 'status', 'is_missing': status IS NULL},
            {'field': 'size', 'is_missing': size_kb IS NULL},
            {'field': 'begin_time', 'is_missing': begin_time IS NULL},
            {'field': 'end_time', 'is_missing': end_time IS NULL}
        ] AS fields
    FROM fact_backup
    WHERE extra IS NOT NULL  -- says nothing new, but skips the files that have none
        AND regexp_matches(extra, '"(name|description|instance_id|instance_name|type|status|size|'
        || 'begin_time|end_time|datastore|database_tables)":')
),
entries AS (
    SELECT
        project_id, backup_id, 'database_tables[' || entry || ']' AS place,
        json_extract(extra, '$.database_tables."' || entry || '"') AS kept
    FROM (
        SELECT *, unnest(json_keys(extra, '$.database_tables')) AS entry
        FROM kept WHERE is_readable AND json_type(extra, '$.database_tables') = 'OBJECT'
    )
),
found AS (
    SELECT project_id, backup_id, one.field, extra_value(extra, one.field) AS sent
    FROM (SELECT *, unnest(fields) AS one FROM kept) WHERE one.is_missing
    UNION ALL
    SELECT project_id, backup_id, 'datastore', json_extract(extra, '$.datastore')::VARCHAR
    FROM kept WHERE is_readable AND json_type(extra, '$.datastore') <> 'OBJECT'
    UNION ALL
    SELECT project_id, backup_id, 'datastore.type', json_extract(extra, '$.datastore.type')::VARCHAR
    FROM kept WHERE is_readable AND datastore_type IS NULL
    UNION ALL
    SELECT project_id, backup_id, 'datastore.version',
        json_extract(extra, '$.datastore.version')::VARCHAR
    FROM kept WHERE is_readable AND datastore_version IS NULL
    UNION ALL
    SELECT project_id, backup_id, 'database_tables',
        json_extract(extra, '$.database_tables')::VARCHAR
    FROM kept WHERE is_readable AND json_type(extra, '$.database_tables') <> 'OBJECT'
    UNION ALL
    SELECT project_id, backup_id, place, kept::VARCHAR
    FROM entries WHERE json_type(kept) <> 'OBJECT'
    UNION ALL
    SELECT project_id, backup_id, place || '.database_name',
        json_extract(kept, '$.database_name')::VARCHAR
    FROM entries
    UNION ALL
    SELECT project_id, backup_id, place || '.table_names',
        json_extract(kept, '$.table_names')::VARCHAR
    FROM entries
)
SELECT project_id, backup_id, field, left(sent, 200) AS sent
FROM found WHERE sent <> '""';

COMMENT ON VIEW v_odd_value IS 'Values that the service sent and that their columns cannot carry, unreadable or of the wrong type, so that the columns are null; one row per backup and field; key (project_id, backup_id, field). Source: extra of backups, for the fields of the API that have columns.';
COMMENT ON COLUMN v_odd_value.field IS 'The field by its API name, such as end_time or database_tables[0].table_names.';
COMMENT ON COLUMN v_odd_value.sent IS 'What was sent, as JSON, cut to 200 characters.';
