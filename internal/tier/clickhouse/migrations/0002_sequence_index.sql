-- Finds single trades by sequence: repair, and whoever follows the tier.

ALTER TABLE tapedeck_trade ADD INDEX IF NOT EXISTS by_sequence sequence TYPE minmax GRANULARITY 1;

ALTER TABLE tapedeck_trade MATERIALIZE INDEX by_sequence;
