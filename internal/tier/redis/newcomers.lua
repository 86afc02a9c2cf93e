-- Reads the accounts that the caller does not name.
--
-- ARGV  1 prefix, 2… accounts
-- Returns account, held days, max, min, increment date of each in turn; an
-- error stands in place of what is of another type.

local named = {}
for i = 2, #ARGV do
  named[ARGV[i]] = true
end
local answer = {}
for _, account in ipairs(redis.call('SMEMBERS', accounts_key(ARGV[1]))) do
  if not named[account] then
    answer[#answer + 1] = account
    for i, data in ipairs(DATA) do
      answer[#answer + 1] = redis.pcall(i == 4 and 'GET' or 'HGETALL', ARGV[1] .. data .. account)
    end
  end
end
return answer
