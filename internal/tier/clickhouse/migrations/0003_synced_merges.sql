-- On a full disk a merge that nobody syncs commits a part that cannot be read
-- (ClickHouse 26.7); synced, the merge fails and its sources stay.

ALTER TABLE tapedeck_state MODIFY SETTING min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE tapedeck_trade MODIFY SETTING min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE tapedeck_daily_kline MODIFY SETTING min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;
