-- Who answers for an instance, as the config file says; filled by whoever opens the views.
CREATE TABLE owner_rule (
    position INTEGER, owner VARCHAR, enterprise_project_id VARCHAR, instance_name VARCHAR
);

COMMENT ON TABLE owner_rule IS 'Who owns what, from the [[owner]] tables of the config file: one row per rule, the first that fits an instance counts; key position. Empty where none are given: then nobody is named.';
COMMENT ON COLUMN owner_rule.position IS 'Place of the rule in the file, from 1. Unit: position.';
COMMENT ON COLUMN owner_rule.owner IS 'Who answers for the instances that fit.';
COMMENT ON COLUMN owner_rule.enterprise_project_id IS 'Enterprise project of the instances; null: any.';
COMMENT ON COLUMN owner_rule.instance_name IS 'Pattern of the instance''s name (* any text, ? any letter, case counts); null: any.';

-- What people vouch for that no call shows, as the config file says; filled likewise.
CREATE TABLE attestation (
    position INTEGER, text VARCHAR, who VARCHAR, "when" VARCHAR, link VARCHAR
);

COMMENT ON TABLE attestation IS 'What people attest that the service does not show, from the [[attestation]] tables of the config file: one row per attestation; key position.';
COMMENT ON COLUMN attestation.position IS 'Place in the file, from 1. Unit: position.';
COMMENT ON COLUMN attestation.text IS 'What is attested.';
COMMENT ON COLUMN attestation.who IS 'By whom.';
COMMENT ON COLUMN attestation."when" IS 'The day, as it was written. Unit: text.';
COMMENT ON COLUMN attestation.link IS 'Where the proof is; empty if there is none. Shown as text.';

-- Which projects should be in the lake, as the config file says; filled likewise.
CREATE TABLE expected_project (project_id VARCHAR);

COMMENT ON TABLE expected_project IS 'The projects that the config file''s [[project]] tables name for this lake: one row per project; key project_id. One that never synced has its rows all the same, and nothing of it can be known. Empty where none are given.';
