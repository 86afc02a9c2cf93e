-- What steers a tier lies beside its checkpoint: the hold that keeps it from
-- going on; of a shadow, the plan it was begun under and whose it is.
-- MySQL has no ADD COLUMN IF NOT EXISTS: a look chooses the statement.

-- +goose NO TRANSACTION
-- +goose Up
SET @statement = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'tapedeck_checkpoint' AND column_name = 'hold') > 0,
  'DO 0',
  'ALTER TABLE tapedeck_checkpoint ADD COLUMN hold MEDIUMTEXT NULL, ADD COLUMN plan MEDIUMTEXT NULL, ADD COLUMN owner CHAR(26) NULL');
PREPARE step FROM @statement;
EXECUTE step;
DEALLOCATE PREPARE step;
