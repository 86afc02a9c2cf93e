-- What the scripts know of the layout. Go puts it before each of them.

local DATA = {'held_days:', 'max_prices:', 'min_prices:', '_inc_date:'}
local EMPTY_CHAIN = string.rep('0', 64)
local MAX_ARGS = 4000 -- even, and below what unpack can push (8,000)

-- Where contents lie: '' is the live place, the others have a prefix.
local function checkpoint_key(prefix) return prefix .. 'tapedeck:checkpoint' end
local function accounts_key(prefix) return prefix .. 'tapedeck:accounts' end

-- call passes list[first] … list[last] to a command, as often as it takes.
local function call(command, key, list, first, last)
  for i = first, last, MAX_ARGS do
    redis.call(command, key, unpack(list, i, math.min(i + MAX_ARGS - 1, last)))
  end
end

-- checkpoint reads the one at a key. Where there is none, the tier is empty.
local function checkpoint(key)
  local f = redis.call('HMGET', key, 'sequence', 'chain', 'schema', 'owner', 'hold', 'plan')
  return {
    exists = f[1] or f[2] or f[3] or f[4],
    sequence = f[1] or '0', chain = f[2] or EMPTY_CHAIN, schema = f[3] or '',
    owner = f[4] or '', hold = f[5] or '', plan = f[6],
  }
end

-- unfit tells what keeps a program of a schema, and an owner, from going on
-- from a checkpoint. Older schemas fit: their fields are a part of ours.
local function unfit(found, schema, owner)
  local version = tonumber(found.schema) or 0
  if found.exists and (version < 1 or version > tonumber(schema)) then
    return {'schema', found.schema}
  end
  if found.owner ~= owner then
    return {'conflict', found.sequence}
  end
end

-- drop removes the contents at a prefix: of the accounts known there, and of
-- those in list[first] and after.
local function drop(prefix, list, first)
  local function unlink(account)
    redis.call('UNLINK', prefix .. DATA[1] .. account, prefix .. DATA[2] .. account,
      prefix .. DATA[3] .. account, prefix .. DATA[4] .. account)
  end
  for i = first, #list do
    unlink(list[i])
  end
  for _, account in ipairs(redis.call('SMEMBERS', accounts_key(prefix))) do
    unlink(account)
  end
  redis.call('UNLINK', accounts_key(prefix), checkpoint_key(prefix))
end
