-- Puts a hold beside the checkpoint, or takes it away.
--
-- KEYS  1 checkpoint
-- ARGV  1 schema, 2 owner, 3 hold or '', 4 the last sequence that it allows, 5 the
--       hold that lies there

local found = checkpoint(KEYS[1])
local wrong = unfit(found, ARGV[1], ARGV[2])
if wrong then
  return wrong
end
if (found.hold or '') ~= ARGV[5] then
  return {'conflict', found.sequence}
end
if ARGV[3] ~= '' and tonumber(found.sequence) > tonumber(ARGV[4]) then
  return {'conflict', found.sequence}
end
redis.call('HSET', KEYS[1], 'sequence', found.sequence, 'chain', found.chain, 'schema', ARGV[1], 'hold', ARGV[3])
return {'ok'}
