-- The whole schema of the ClickHouse tier, to read, or to make by hand in an
-- empty database: clickhouse-client --database tapedeck --multiquery < init.sql
-- The projector makes and migrates the same by itself; a test holds them equal.
--
-- Read trade and daily_kline. They are views, need no FINAL, and use the
-- tables' partitions and keys. Nobody but the projector writes to the tables.

CREATE TABLE IF NOT EXISTS tapedeck_schema (
    version UInt32,
    at      DateTime64(3) DEFAULT now64(3)
) ENGINE = MergeTree
ORDER BY version;

-- Every row of trade and daily_kline carries the generation that it belongs to
-- and the number of the attempt that wrote it. The last row of tapedeck_state
-- says which generation is live and which attempts count; readers use the views.

CREATE TABLE IF NOT EXISTS tapedeck_state (
    revision UInt64,
    at       DateTime64(3, 'Asia/Shanghai') DEFAULT now64(3),
    nonce    String,
    state    String CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY intDiv(revision, 1000)
ORDER BY revision
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS tapedeck_trade (
    generation    UInt64 CODEC(ZSTD(1)),
    attempt       UInt64 CODEC(Delta, ZSTD(1)),
    sequence      UInt64 CODEC(Delta, ZSTD(1)),
    timestamp     DateTime64(6, 'Asia/Shanghai') CODEC(Delta, ZSTD(1)),
    account_id    LowCardinality(String),
    stock_code    LowCardinality(String),
    stock_name    LowCardinality(String),
    order_type    LowCardinality(String),
    price_type    LowCardinality(String),
    strategy_name LowCardinality(String),
    price         Decimal(18, 3) DEFAULT toDecimal64(intDiv(price_milli, 1000), 3) + toDecimal64(price_milli % 1000, 3) / 1000 CODEC(GCD, ZSTD(1)),
    volume        UInt64 CODEC(GCD, T64('bit'), ZSTD(1)),
    amount        Decimal(18, 2) DEFAULT toDecimal64(intDiv(amount_cents, 100), 2) + toDecimal64(amount_cents % 100, 2) / 100 CODEC(GCD, T64('bit'), ZSTD(1)),
    remark        String CODEC(ZSTD(1)),
    order_id      String CODEC(ZSTD(1)),
    removed       UInt8 CODEC(ZSTD(1)),
    price_milli   Int64 EPHEMERAL,
    amount_cents  Int64 EPHEMERAL,
    INDEX by_sequence sequence TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY (generation, toYYYYMM(timestamp))
ORDER BY (account_id, stock_code, timestamp, sequence)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS tapedeck_daily_kline (
    generation   UInt64 CODEC(ZSTD(1)),
    attempt      UInt64 CODEC(Delta, ZSTD(1)),
    sequence     UInt64 CODEC(Delta, ZSTD(1)),
    stock_code   LowCardinality(String),
    date         Date32 CODEC(Delta, ZSTD(1)),
    open         Decimal(18, 3) DEFAULT toDecimal64(intDiv(open_milli, 1000), 3) + toDecimal64(open_milli % 1000, 3) / 1000 CODEC(GCD, ZSTD(1)),
    high         Decimal(18, 3) DEFAULT toDecimal64(intDiv(high_milli, 1000), 3) + toDecimal64(high_milli % 1000, 3) / 1000 CODEC(GCD, ZSTD(1)),
    low          Decimal(18, 3) DEFAULT toDecimal64(intDiv(low_milli, 1000), 3) + toDecimal64(low_milli % 1000, 3) / 1000 CODEC(GCD, ZSTD(1)),
    close        Decimal(18, 3) DEFAULT toDecimal64(intDiv(close_milli, 1000), 3) + toDecimal64(close_milli % 1000, 3) / 1000 CODEC(GCD, ZSTD(1)),
    volume       UInt64 CODEC(GCD, T64('bit'), ZSTD(1)),
    amount       Decimal(18, 2) DEFAULT toDecimal64(intDiv(amount_cents, 100), 2) + toDecimal64(amount_cents % 100, 2) / 100 CODEC(GCD, T64('bit'), ZSTD(1)),
    removed      UInt8 CODEC(ZSTD(1)),
    open_milli   Int64 EPHEMERAL,
    high_milli   Int64 EPHEMERAL,
    low_milli    Int64 EPHEMERAL,
    close_milli  Int64 EPHEMERAL,
    amount_cents Int64 EPHEMERAL
) ENGINE = MergeTree
PARTITION BY (generation, toYYYYMM(date))
ORDER BY (stock_code, date)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- A key has several rows only where it was revised, by a later event or a repair:
-- there the newest counts. All other keys take the first branch, a plain scan.
CREATE OR REPLACE VIEW trade AS
WITH (
    SELECT (JSONExtractUInt(any(state), 'live', 'generation'), JSONExtractUInt(any(state), 'live', 'upto'),
        JSONExtract(any(state), 'live', 'dead', 'Array(UInt64)'), JSONExtractKeys(any(state), 'live', 'accounts'))
    FROM (SELECT state FROM tapedeck_state ORDER BY revision DESC LIMIT 1)
) AS live
SELECT timestamp, toDate32(timestamp) AS date, account_id, stock_code, stock_name, order_type, price_type, strategy_name,
    price, volume, amount, remark, order_id, sequence
FROM tapedeck_trade
WHERE generation = live.1 AND attempt <= live.2 AND attempt NOT IN (SELECT arrayJoin(live.3))
    AND account_id NOT IN (SELECT arrayJoin(live.4))
UNION ALL
SELECT timestamp, toDate32(timestamp) AS date, account_id, stock_code, stock_name, order_type, price_type, strategy_name,
    price, volume, amount, remark, order_id, sequence
FROM (
    SELECT * FROM tapedeck_trade
    WHERE generation = live.1 AND attempt <= live.2 AND attempt NOT IN (SELECT arrayJoin(live.3))
        AND account_id IN (SELECT arrayJoin(live.4))
    ORDER BY sequence, attempt DESC LIMIT 1 BY sequence
)
WHERE removed = 0;

CREATE OR REPLACE VIEW daily_kline AS
WITH (
    SELECT (JSONExtractUInt(any(state), 'live', 'generation'), JSONExtractUInt(any(state), 'live', 'upto'),
        JSONExtract(any(state), 'live', 'dead', 'Array(UInt64)'), JSONExtractKeys(any(state), 'live', 'stocks'))
    FROM (SELECT state FROM tapedeck_state ORDER BY revision DESC LIMIT 1)
) AS live
SELECT stock_code, date, toYYYYMMDD(date) AS datetime, open, high, low, close, volume, amount, sequence
FROM tapedeck_daily_kline
WHERE generation = live.1 AND attempt <= live.2 AND attempt NOT IN (SELECT arrayJoin(live.3))
    AND stock_code NOT IN (SELECT arrayJoin(live.4))
UNION ALL
SELECT stock_code, date, toYYYYMMDD(date) AS datetime, newest.1 AS open, newest.2 AS high, newest.3 AS low, newest.4 AS close,
    newest.5 AS volume, newest.6 AS amount, newest.7 AS sequence
FROM (
    SELECT stock_code, date, argMax((open, high, low, close, volume, amount, sequence, removed), attempt) AS newest
    FROM tapedeck_daily_kline
    WHERE generation = live.1 AND attempt <= live.2 AND attempt NOT IN (SELECT arrayJoin(live.3))
        AND stock_code IN (SELECT arrayJoin(live.4))
    GROUP BY stock_code, date
)
WHERE newest.8 = 0;

INSERT INTO tapedeck_schema (version) VALUES (1), (2), (3);
