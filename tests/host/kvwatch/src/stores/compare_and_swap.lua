-- KEYS[1] is the key, ARGV[1] is the expected number, ARGV[2] is the new one. Numbers are compared as text without leading zeroes.
local MOST = '18446744073709551615'

local now = redis.call('GET', KEYS[1])
if not now then
    return redis.error_reply('NOKEY the key is not set')
end
local is_number = #now <= 20 and string.match(now, '^%d+$')
local number = string.gsub(now, '^0+(%d)', '%1')
-- Of two texts of one length, the greater number is the later one in the alphabet.
if not is_number or (#number == #MOST and number > MOST) then
    return redis.error_reply('NOTANUMBER the value is not a number below 2^64')
end
if number ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
