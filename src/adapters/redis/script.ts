import { createHash } from 'node:crypto'

/**
 * A trip, as Redis does it. ARGV: the steps (trip.ts says how they are packed), the prefix of all names, who we are, how long a
 * lock lasts (ms) and a value lives (s). Steps are done in turn, but all values are read after the last of them, and what is
 * to be appended to a value that is read is appended after that: it comes back as it was before. Answers the values read (false
 * for one that is not there, 0 for one that another process has locked), then kind and hash of each entity whose value has
 * grown by 4 kB and a quarter of its base without being read: somebody has to fold it.
 *
 * A small value is written anew with what is appended: APPEND keeps as much room again as the value is long.
 *
 * The names are made here: to declare each of them would double what a trip costs. KEYS has one of them, by which a Cluster
 * knows the node; all others of the same script are in its hash slot.
 */
export const TRIP = `local steps, prefix, me, lease, life = ARGV[1], ARGV[2] .. '{', ARGV[3], ARGV[4], ARGV[5]
local byte, sub, floor, call = string.byte, string.sub, math.floor, redis.call
local names, appends, held, swollen, n = {}, {}, {}, {}, 0
local at, last = 1, #steps
local function baseOf(name)
  local b = {byte(call('GETRANGE', name, 0, 15), 1, 16)}
  return b[2] == 3 and 16 + 4 * (b[9] + b[13] + 256 * (b[10] + b[14]) + 65536 * (b[11] + b[15])) or 0
end
local function append(name, old, words, renews)
  if not old then call('SET', name, words, 'EX', life) return #words end
  if #old >= 1024 then
    if renews then call('EXPIRE', name, life) end
    return call('APPEND', name, words)
  end
  if renews then call('SET', name, old .. words, 'EX', life) else call('SET', name, old .. words, 'KEEPTTL') end
  return #old + #words
end
while at < last do
  local a, b, c = byte(steps, at, at + 2)
  local flags = floor(c / 16)
  local tag = sub(steps, at + 3, at + 11)
  local name = prefix .. tag .. '}'
  local from, length = at + 12, (a + b * 256 + c % 16 * 65536) * 4
  at = from + length
  if flags % 2 == 1 then
    n = n + 1
    names[n] = name
    if length > 0 then appends[n] = sub(steps, from, at - 1) end
    if flags % 4 >= 2 then
      local holder = call('SET', name .. 'l', me, 'PX', lease, 'NX', 'GET')
      if holder == me then call('PEXPIRE', name .. 'l', lease) elseif holder then held[n] = true end
    end
  else
    local size = length > 0 and append(name, call('GET', name), sub(steps, from, at - 1), flags >= 8) or -1
    if length == 0 and flags >= 8 then call('EXPIRE', name, life) end
    if flags % 8 >= 4 then call('DEL', name .. 'l') end
    if flags >= 8 and size > 4096 and size > 4096 + 1.25 * baseOf(name) then swollen[#swollen + 1] = tag end
  end
end
if n == 0 then return swollen end
local values = call('MGET', unpack(names))
for i, words in pairs(appends) do
  append(names[i], values[i], words, false)
end
for i in pairs(held) do values[i] = 0 end
for i, tag in ipairs(swollen) do values[n + i] = tag end
return values`

/** Puts a base in the place of the bytes it was folded from; what was appended since stays. Nothing, if another base came first. */
export const COMPACT = `if redis.call('GETRANGE', KEYS[1], 0, 11) ~= ARGV[1] or redis.call('STRLEN', KEYS[1]) < tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3] .. redis.call('GETRANGE', KEYS[1], ARGV[2], -1), 'EX', ARGV[4])
return 1`

/** By which a server knows a script that it was sent before. */
export const digestOf = (script: string): string => createHash('sha1').update(script).digest('hex')
