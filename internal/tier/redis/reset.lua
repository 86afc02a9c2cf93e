-- Removes a shadow and, for a new owner, starts an empty one.
--
-- KEYS  1–2 the shadow's checkpoint and accounts, then all its data keys
-- ARGV  1 the owner whose shadow may go ('' for anyone's), 2 the new owner or
--       '', 3 chain of the zero checkpoint, 4 schema

if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return {'ok'}
end
for i = 1, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'sequence', '0', 'chain', ARGV[3], 'schema', ARGV[4], 'owner', ARGV[2])
end
return {'ok'}
