-- What the KPIs measure against. One row; change it with UPDATE, every view follows at once.
CREATE TABLE settings AS SELECT
    24.0::DOUBLE AS rpo_h,
    2.0::DOUBLE AS rpo_tolerance_h,
    24.0::DOUBLE AS stuck_after_h,
    3.0::DOUBLE AS slot_window_h,
    2::INTEGER AS failures_alert,
    7::INTEGER AS recent_days,
    30::INTEGER AS trend_days,
    90::INTEGER AS old_manual_days,
    90::INTEGER AS norm_days,
    8::INTEGER AS norm_backups,
    3.5::DOUBLE AS outlier_z,
    0.1::DOUBLE AS tiny_share,
    7::INTEGER AS assumed_keep_days,
    26.0::DOUBLE AS stale_after_h,
    400::INTEGER AS history_days,
    NULL::TIMESTAMP AS now_without_runs;

COMMENT ON TABLE settings IS 'What the KPIs measure against: exactly one row. UPDATE settings SET rpo_h = 12 changes every view at once; a fresh publish writes the defaults or the values handed to it.';
COMMENT ON COLUMN settings.rpo_h IS 'Recovery point objective: the oldest that the newest restorable state may be. Unit: hours.';
COMMENT ON COLUMN settings.rpo_tolerance_h IS 'Added to rpo_h, because a daily backup starts up to an hour late in its window and takes time to complete. Unit: hours.';
COMMENT ON COLUMN settings.stuck_after_h IS 'A backup that is still BUILDING this long after its start counts as stuck. Unit: hours.';
COMMENT ON COLUMN settings.slot_window_h IS 'A slot of the policy is missed when no automated backup started within this time after window_start (the window is one hour wide). Unit: hours.';
COMMENT ON COLUMN settings.failures_alert IS 'From this many failures in a row an instance is an exception. Unit: backups.';
COMMENT ON COLUMN settings.recent_days IS 'Span of the KPIs whose name ends in _recent, and of exceptions about single backups. Unit: full UTC days before today.';
COMMENT ON COLUMN settings.trend_days IS 'Span of the RPO compliance over time and of the growth slope, and the reach of the forecast. Unit: days.';
COMMENT ON COLUMN settings.old_manual_days IS 'A manual backup older than this is reported as cost-bearing: nothing deletes manual backups. Unit: days.';
COMMENT ON COLUMN settings.norm_days IS 'An instance''s usual duration and size are taken from its completed backups of this span. Unit: days.';
COMMENT ON COLUMN settings.norm_backups IS 'Fewer completed backups than this make no norm, and no outlier. Unit: backups.';
COMMENT ON COLUMN settings.outlier_z IS 'A duration further than this from the instance''s median is an outlier. Unit: robust standard deviations (1.4826 x MAD, at least a tenth of the median).';
COMMENT ON COLUMN settings.tiny_share IS 'A completed backup smaller than this share of its instance''s median size is tiny. Unit: ratio.';
COMMENT ON COLUMN settings.assumed_keep_days IS 'Retention taken for granted where no policy is known; 7 is the service''s default. It decides how far before the first sync the lake can vouch for. Unit: days.';
COMMENT ON COLUMN settings.stale_after_h IS 'A project whose last certified run is older than this is reported as stale. Unit: hours.';
COMMENT ON COLUMN settings.history_days IS 'The daily views reach back this far at most, whatever begin times exist: thirteen months, so that a month can be compared with the same one a year before. More days cost time. Unit: days.';
COMMENT ON COLUMN settings.now_without_runs IS 'What the views take as now if the lake has no sync runs: the latest moment in its rows. Unit: UTC time.';
