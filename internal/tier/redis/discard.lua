-- Removes what an owner has beside the live tier.
--
-- ARGV  1 owner, 2 prefix, 3… accounts with keys there

if checkpoint(checkpoint_key(ARGV[2])).owner == ARGV[1] then
  drop(ARGV[2], ARGV, 3)
end
return {'ok'}
