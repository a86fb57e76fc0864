-- KEYS[1] is the key, ARGV[1] is what to add. Lua's numbers are exact below 2^53, so a number is two halves of ten digits.
local MOST_HIGH, MOST_LOW = 1844674407, 3709551615

local function halves(digits)
    if #digits > 20 or not string.match(digits, '^%d+$') then return nil end
    digits = string.rep('0', 20 - #digits) .. digits
    return tonumber(string.sub(digits, 1, 10)), tonumber(string.sub(digits, 11))
end

local function fits(high, low)
    return high < MOST_HIGH or (high == MOST_HIGH and low <= MOST_LOW)
end

local high, low = halves(redis.call('GET', KEYS[1]) or '0')
if not high or not fits(high, low) then
    return redis.error_reply('NOTANUMBER the value is not a number below 2^64')
end
local more_high, more_low = halves(ARGV[1])
high, low = high + more_high, low + more_low
if low >= 1e10 then
    high, low = high + 1, low - 1e10
end
if not fits(high, low) then
    return redis.error_reply('OVERFLOW the sum is 2^64 or more')
end
local sum = string.gsub(string.format('%.0f%010.0f', high, low), '^0+(%d)', '%1')
redis.call('SET', KEYS[1], sum, 'KEEPTTL')
return sum
