-- One batch, one atomic step: compare the checkpoint, change the contents, move
-- the checkpoint. Redis does not roll a failed script back, so everything that
-- can fail is looked at before the first write.
--
-- KEYS  1 checkpoint, 2 accounts, then held days, max, min and increment date
--       of each account of the batch, then further keys to take over
-- ARGV  1–2 from (sequence, chain), 3–4 to, 5 schema, 6 owner, 7 the hold that
--       the caller knows and that lets this batch pass, 8 take over,
--       9 number of accounts, then
--       each account: name, number of increments, their dates (rising)
--       any number of: 'HDEL', key, n, n fields
--                      'HSET', key, seen, n, n fields and values in turn
--       A key is an index from 1 into the accounts' keys. Held days are given as if
--       all increments of the batch apply; seen is how many of them came before.
-- Returns {'ok'} or {what is wrong, details…}.

local found = checkpoint(KEYS[1])
local wrong = unfit(found, ARGV[5], ARGV[6])
if wrong then
  return wrong
end
if found.sequence ~= ARGV[1] or found.chain ~= ARGV[2] then
  return {'conflict', found.sequence}
end
if found.hold ~= ARGV[7] then
  return {'hold', found.hold}
end

local accounts = tonumber(ARGV[9])
local function account_key(i) return KEYS[2 + i] end

local empty = found.sequence == '0' -- so what lies there is not ours
if empty and ARGV[8] == '1' then
  for i = 3, #KEYS do
    redis.call('UNLINK', KEYS[i])
  end
end
for i = 1, 4 * accounts do
  local kind = redis.call('TYPE', account_key(i)).ok
  if kind ~= 'none' then
    if empty then
      return {'foreign', account_key(i)}
    end
    local want = i % 4 == 0 and 'string' or 'hash'
    if kind ~= want then
      return {'damaged', account_key(i), 'is a ' .. kind .. ', not a ' .. want}
    end
  end
end

-- Increments: those up to the stored date do not apply.
local at = 10
local names, skipped, dates, incremented = {}, {}, {}, {}
for a = 1, accounts do
  names[a] = ARGV[at]
  local n = tonumber(ARGV[at + 1])
  skipped[a] = 0
  if n > 0 then
    local stored = redis.call('GET', account_key(4 * a))
    if stored and not string.match(stored, '^%d%d%d%d%-%d%d%-%d%d$') then
      return {'damaged', account_key(4 * a), 'holds "' .. stored .. '", not a date'}
    end
    while stored and skipped[a] < n and ARGV[at + 2 + skipped[a]] <= stored do
      skipped[a] = skipped[a] + 1
    end
    if skipped[a] < n then
      dates[a] = ARGV[at + 1 + n]
      local fields = redis.call('HGETALL', account_key(4 * a - 3))
      for i = 2, #fields, 2 do
        if not string.match(fields[i], '^%-?%d+$') or #fields[i] > 15 then
          return {'damaged', account_key(4 * a - 3), 'holds "' .. fields[i] .. '" for ' .. fields[i - 1] .. ', not a number of days'}
        end
        fields[i] = string.format('%.0f', tonumber(fields[i]) + n - skipped[a])
      end
      incremented[a] = fields
    end
  end
  at = at + 2 + n
end

for a = 1, accounts do
  if dates[a] then
    call('HSET', account_key(4 * a - 3), incremented[a], 1, #incremented[a])
    redis.call('SET', account_key(4 * a), dates[a])
  end
end
while at <= #ARGV do
  local command, key = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if command == 'HSET' then
    local excess = skipped[math.ceil(key / 4)] - tonumber(ARGV[at])
    if excess > 0 then
      for i = at + 3, at + 1 + tonumber(ARGV[at + 1]), 2 do
        ARGV[i] = string.format('%.0f', tonumber(ARGV[i]) - excess)
      end
    end
    at = at + 1
  end
  local n = tonumber(ARGV[at])
  call(command, account_key(key), ARGV, at + 1, at + n)
  at = at + 1 + n
end
call('SADD', KEYS[2], names, 1, accounts)
redis.call('HSET', KEYS[1], 'sequence', ARGV[3], 'chain', ARGV[4], 'schema', ARGV[5])
return {'ok'}
