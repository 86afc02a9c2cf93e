-- Opens the shadow of a plan: what was built under the same plan stays and gets
-- a new owner, anything else goes and an empty one begins.
--
-- ARGV  1 schema, 2 the new owner, 3 plan, 4 prefix of the shadow, 5… accounts
--       with keys there

local found = checkpoint(checkpoint_key(ARGV[4]))
if found.schema == ARGV[1] and found.plan == ARGV[3] then
  redis.call('HSET', checkpoint_key(ARGV[4]), 'owner', ARGV[2])
  return {'ok'}
end
drop(ARGV[4], ARGV, 5)
redis.call('HSET', checkpoint_key(ARGV[4]), 'sequence', '0', 'chain', EMPTY_CHAIN,
  'schema', ARGV[1], 'owner', ARGV[2], 'plan', ARGV[3])
return {'ok'}
