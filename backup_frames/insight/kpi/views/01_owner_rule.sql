-- Who answers for an instance, as the config file says; filled by whoever opens the views.
CREATE TABLE owner_rule (
    position INTEGER, owner VARCHAR, enterprise_project_id VARCHAR, instance_name VARCHAR
);

COMMENT ON TABLE owner_rule IS 'Who owns what, from the [[owner]] tables of the config file: one row per rule, the first that fits an instance counts; key position. Empty where none are given: then nobody is named.';
COMMENT ON COLUMN owner_rule.position IS 'Place of the rule in the file, from 1. Unit: position.';
COMMENT ON COLUMN owner_rule.owner IS 'Who answers for the instances that fit.';
COMMENT ON COLUMN owner_rule.enterprise_project_id IS 'Enterprise project of the instances; null: any.';
COMMENT ON COLUMN owner_rule.instance_name IS 'Pattern of the instance''s name (* any text, ? any letter, case counts); null: any.';
