-- The shadow, or the previous contents, take the live tier's place in one step;
-- what was live becomes the previous contents.
--
-- ARGV  1 schema, 2 owner of what is promoted, 3 its prefix, 4 prefix of the
--       previous contents, 5 their new owner, 6 hold, 7… accounts with live keys

local source, previous = ARGV[3], ARGV[4]
local wrong = unfit(checkpoint(checkpoint_key(source)), ARGV[1], ARGV[2])
  or unfit(checkpoint(checkpoint_key('')), ARGV[1], '')
if wrong then
  return wrong
end

local function rename(from, to)
  if redis.call('EXISTS', from) == 1 then
    redis.call('RENAME', from, to)
  end
end
local function move(from, to)
  for _, account in ipairs(redis.call('SMEMBERS', accounts_key(from))) do
    for _, data in ipairs(DATA) do
      rename(from .. data .. account, to .. data .. account)
    end
  end
  rename(accounts_key(from), accounts_key(to))
  rename(checkpoint_key(from), checkpoint_key(to))
end

call('SADD', accounts_key(''), ARGV, 7, #ARGV) -- what others put there moves along
if source == previous then
  source = 'tapedeck:swap:' -- seen by nobody: it is gone when the script ends
  move(previous, source)
else
  drop(previous, {}, 1)
end
move('', previous)
move(source, '')

local displaced, live = checkpoint_key(previous), checkpoint_key('')
redis.call('HSETNX', displaced, 'sequence', '0')
redis.call('HSETNX', displaced, 'chain', EMPTY_CHAIN)
redis.call('HSET', displaced, 'schema', ARGV[1], 'owner', ARGV[5])
redis.call('HDEL', live, 'owner', 'plan')
redis.call('HSET', live, 'schema', ARGV[1], 'hold', ARGV[6])
return {'ok'}
