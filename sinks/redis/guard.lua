-- Write one value if it is newer than what stands there, and publish it. Returns 1 when written, else 0.
--
-- KEYS[1]  the key of the value: a hash, or a string when KEYS[2] is given
-- KEYS[2]  (optional) hash that holds seq and ts of a string value
-- ARGV     1 rule  2 field  3 seq field  4 ts field  5 seq  6 ts  7 payload  8 ttl_s  9 channel ("" none)  10 owner  11 up
--
-- seq and ts are decimal digits in strings, because Lua numbers lose what is beyond 2^53: longer wins, then greater.
-- The rules are those of `supersedes` in commands.py; a test runs both on the same sequences.
local rule, field, seq_field, ts_field = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local seq, ts, payload = ARGV[5], ARGV[6], ARGV[7]
local guard = KEYS[2] or KEYS[1]

local function above(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

local old = redis.call('HMGET', guard, seq_field, ts_field, field .. ':owner', field .. ':up')
local old_seq, old_ts = old[1], old[2]
local newer = not old_seq or above(seq, old_seq)

if not newer and rule == 'book' then
  -- the same update again with another state; or a book that is not ok, whose last id may be anything
  newer = (seq == old_seq or ARGV[11] == '0') and not above(old_ts, ts)
elseif newer and rule == 'feed' and old_seq then
  -- the end of a connection says nothing about the one that took over
  newer = not (ARGV[11] == '0' and old[4] == '1' and old[3] ~= ARGV[10])
elseif not newer and rule == 'quote' then
  -- a lower id received more than a minute later: the exchange began to count anew
  newer = #ts > 10 and #old_ts > 10 and tonumber(ts:sub(1, -10)) - tonumber(old_ts:sub(1, -10)) > 60
end
if not newer then return 0 end

if old_seq and above(old_seq, seq) and rule == 'book' then seq = old_seq end
if KEYS[2] then
  redis.call('SET', KEYS[1], payload)
  redis.call('HSET', guard, seq_field, seq, ts_field, ts)
  redis.call('EXPIRE', guard, ARGV[8])
elseif rule == 'feed' then
  redis.call('HSET', guard, field, payload, seq_field, seq, ts_field, ts, field .. ':owner', ARGV[10], field .. ':up', ARGV[11])
else
  redis.call('HSET', guard, field, payload, seq_field, seq, ts_field, ts)
end
redis.call('EXPIRE', KEYS[1], ARGV[8])
if ARGV[9] ~= '' then redis.call('PUBLISH', ARGV[9], payload) end
return 1
