30a436c Truth tables and properties of the decision; a generation inherits what reports do not change
0812359 The decision core: farms, gates, tiers, the ladder and five policies
local svc = ARGV[1]
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000)) -- ms

local function refuse(why) return redis.error_reply('FARM ' .. why) end

-- change makes one change under the next revision: it runs the commands given and appends the whole record to the
-- stream. The revision comes first: if a command after it fails, readers see a gap and read everything anew.
local function change(op, kind, id, data, ...)
  redis.call('HSETNX', KEYS[1], 'epoch', time[1] .. string.format('%06d', time[2]))
  local rev = redis.call('HINCRBY', KEYS[1], 'rev', 1)
  for _, command in ipairs({...}) do redis.call(unpack(command)) end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', 'e', redis.call('HGET', KEYS[1], 'epoch'), 'r', rev,
    'op', op, 'kind', kind, 'svc', svc, 'id', id, 'data', data)
  return tostring(rev)
end

local function unchanged(status, more)
  return {status, redis.call('HGET', KEYS[1], 'rev') or '0', more}
end

-- object decodes a JSON object, or returns nil. The text itself is what is stored: it is never encoded anew.
local function object(json)
  if type(json) ~= 'string' or #json > 8192 or not json:find('^%s*{.*}%s*$') then return nil end
  local ok, value = pcall(cjson.decode, json)
  return ok and type(value) == 'table' and value or nil
end

local function isname(s) return #s <= 254 and s:find('^[a-z0-9_*][a-z0-9_.-]*%.$') end
local function isid(s) return #s <= 63 and s:find('^[a-z0-9][a-z0-9-]*$') and s:sub(-1) ~= '-' end

-- ensure lists the service, so that readers find what hangs under it. It says nothing of the service.
local function ensure()
  if redis.call('HEXISTS', KEYS[3], svc) == 1 then return true end
  if redis.call('HLEN', KEYS[3]) >= 10000 then return false end
  change('set', 'service', '', '{"implied":true}', {'HSET', KEYS[3], svc, '{"implied":true}'})
  return true
end

if #KEYS ~= 6 then return refuse('expected 6 keys: rev, chg, svcs, srvs, adms, reps') end
if not isname(svc) then return refuse('service: expected a lower-case name with its final dot') end
for i = 4, 6 do
  if KEYS[i]:sub(-#svc - 1) ~= ':' .. svc then return refuse('key ' .. i .. ': expected one of the service') end
end
