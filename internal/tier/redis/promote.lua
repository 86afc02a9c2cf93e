-- The shadow takes the live tier's place in one step.
--
-- KEYS  1–2 live checkpoint and accounts, 3–4 the shadow's, then further live
--       keys to drop
-- ARGV  1 owner, 2 schema, 3 shadow prefix, 4–7 prefixes of the data keys

local owner = redis.call('HGET', KEYS[3], 'owner')
if owner ~= ARGV[1] then
  return {'conflict', redis.call('HGET', KEYS[3], 'sequence') or '0'}
end
local schema = redis.call('HGET', KEYS[1], 'schema')
if schema and schema ~= ARGV[2] then
  return {'schema', schema}
end
local live = redis.call('SMEMBERS', KEYS[2])
local shadow = redis.call('SMEMBERS', KEYS[4])

for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
for _, account in ipairs(live) do
  for i = 4, 7 do
    redis.call('UNLINK', ARGV[i] .. account)
  end
end
for _, account in ipairs(shadow) do
  for i = 4, 7 do
    local from, to = ARGV[3] .. ARGV[i] .. account, ARGV[i] .. account
    if redis.call('EXISTS', from) == 1 then
      redis.call('UNLINK', to)
      redis.call('RENAME', from, to)
    end
  end
end
redis.call('UNLINK', KEYS[2])
if #shadow > 0 then
  redis.call('RENAME', KEYS[4], KEYS[2])
end
redis.call('UNLINK', KEYS[1])
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('HDEL', KEYS[1], 'owner')
return {'ok'}
