-- Removes and sets single values where the checkpoint is as expected. All that
-- can fail is looked at before the first write.
--
-- KEYS  1 checkpoint, 2 accounts, 3… the data keys of the changes
-- ARGV  1 schema, 2 owner, 3–4 sequence and chain, 5 number of accounts that
--       get a value, their names, then four for each change:
--       'UNLINK', key, '', ''
--       'CLEAR',  key, '', ''         unlink it unless it is a hash
--       'HDEL',   key, field, ''      if it is a hash
--       'SET',    key, value, ''
--       'HSET',   key, field, value
--       A key is an index into KEYS; removals come before all else.

local found = checkpoint(KEYS[1])
local wrong = unfit(found, ARGV[1], ARGV[2])
if wrong then
  return wrong
end
if found.sequence ~= ARGV[3] or found.chain ~= ARGV[4] then
  return {'conflict', found.sequence}
end

local kinds = {}
for i = 3, #KEYS do
  kinds[i] = redis.call('TYPE', KEYS[i]).ok
end
local accounts = tonumber(ARGV[5])
local first = 6 + accounts
for i = first, #ARGV, 4 do
  local command, key = ARGV[i], tonumber(ARGV[i + 1])
  if command == 'CLEAR' and kinds[key] ~= 'hash' then
    kinds[key] = 'none'
  elseif command == 'HSET' and kinds[key] ~= 'none' and kinds[key] ~= 'hash' then
    return {'damaged', KEYS[key], 'is a ' .. kinds[key] .. ', not a hash'}
  end
end

for i = first, #ARGV, 4 do
  local command, key, a, b = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
  if command == 'HSET' then
    redis.call('HSET', KEYS[key], a, b)
  elseif command == 'SET' then
    redis.call('SET', KEYS[key], a)
  elseif command == 'HDEL' and kinds[key] == 'hash' then
    redis.call('HDEL', KEYS[key], a)
  elseif command == 'UNLINK' or command == 'CLEAR' and kinds[key] == 'none' then
    redis.call('UNLINK', KEYS[key])
  end
end
call('SADD', KEYS[2], ARGV, 6, first - 1)
redis.call('HSET', KEYS[1], 'sequence', found.sequence, 'chain', found.chain, 'schema', ARGV[1])
return {'ok'}
