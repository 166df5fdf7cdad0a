CREATE VIEW v_readme AS
SELECT * FROM (VALUES
    (1, 'v_kpi_current', 'How are we doing? One row: coverage, RPO, success, retention, stored size, as of now_at.'),
    (2, 'v_exceptions', 'What should somebody look at? One row per finding, the most severe with severity = 1.'),
    (3, 'v_instance_current', 'How is each instance? One row per existing instance: restore point, age, failures, slots.'),
    (4, 'v_kpi_daily', 'How did it go? One row per full UTC day; days with is_watched = false hold survivors only.'),
    (5, 'v_instance_daily', 'What happened to which instance when? One row per instance and day.'),
    (6, 'v_storage_daily', 'How much is stored? One row per engine and day; v_storage_growth says where it goes.'),
    (7, 'v_backups_current', 'Which backups are there now? One row per present backup, with its instance.'),
    (8, 'fact_backup', 'All backups that the lake ever saw; join dim_instance, dim_project and dim_date.'),
    (9, 'dim_project', 'Up to when are the numbers proven? One row per project: certified_at, last_verdict.'),
    (10, 'v_control_result', 'What held on which day, passes too? One row per control, instance and full UTC day; dim_control says how it is judged.'),
    (11, 'v_exception_history', 'When did each alarm open and close? One row per control, instance and stretch of alarms.'),
    (12, 'v_policy_change', 'Which backup policies changed, and which became weaker? One row per change.'),
    (13, 'v_kpi_owner', 'How is each owner doing? One row per owner and enterprise project.'),
    (14, 'settings', 'What is measured against what? One row; UPDATE it and every view follows.')
) AS guide (place, name, answers);

COMMENT ON VIEW v_readme IS 'Where to begin: the tables and views to ask first, in order, and what each answers; key place. What only other views need stands in the schema internal of a published file.';
COMMENT ON COLUMN v_readme.place IS 'Order in which to look.';
COMMENT ON COLUMN v_readme.name IS 'Table or view.';
COMMENT ON COLUMN v_readme.answers IS 'The question that it answers, and what a row is.';
