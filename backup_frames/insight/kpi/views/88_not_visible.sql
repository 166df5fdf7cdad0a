CREATE VIEW v_not_visible AS
SELECT topic, words
FROM (VALUES
    (1, 'Cross-region copies', 'The list of backups names no copy in another region.'),
    (2, 'Encryption of backups', 'No call tells whether a backup is encrypted, or with which key.'),
    (3, 'Restore tests', 'That a backup is COMPLETED does not prove that it can be restored; tests of it are in no list.'),
    (4, 'Who deleted', 'A backup that is gone was deleted or expired; who did it stands in the cloud''s audit log alone.'),
    (5, 'Increments', 'Incremental backups and points in time are in no list of backups; ages are those of full ones.'),
    (6, 'What the credentials may not see', 'A list can be limited to an enterprise project without saying so.')
) AS found (place, topic, words)
ORDER BY place;

COMMENT ON VIEW v_not_visible IS 'What the service''s API does not show, so that nothing here can speak of it; one row per topic; key topic.';
COMMENT ON COLUMN v_not_visible.topic IS 'What is not visible.';
COMMENT ON COLUMN v_not_visible.words IS 'Why, in a sentence.';
