-- server.lua registers a server or removes it. ARGV: service, id, set|del, record (JSON).
-- KEYS: rev chg svcs srvs adms reps, all of the service. Returns {OK|KEPT|NONE, revision}; KEPT: an operator's record
-- stands, and an agent's does not replace it.
-- What follows up to the blank comment line is the same in every script.
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
  local at = redis.call('XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', 'e', redis.call('HGET', KEYS[1], 'epoch'), 'r', rev,
    'op', op, 'kind', kind, 'svc', svc, 'id', id, 'data', data)
  if kind == 'service' or kind == 'server' or kind == 'admin' then
    redis.call('HSET', KEYS[1], 'edited', at:match('^%d+')) -- ms, and never goes back
  end
  return tostring(rev)
end

local function unchanged(status, more)
  return {status, redis.call('HGET', KEYS[1], 'rev') or '0', more}
end

-- object decodes a JSON object, or returns nil. The text itself is what is stored: but for grants, it is not encoded anew.
local function object(json)
  if type(json) ~= 'string' or #json > 8192 or not json:find('^%s*{.*}%s*$') then return nil end
  local ok, value = pcall(cjson.decode, json)
  return ok and type(value) == 'table' and value or nil
end

local function isname(s) return #s <= 254 and s:find('^[a-z0-9_*][a-z0-9_.-]*%.$') end
local function isid(s) return #s <= 63 and s:find('^[a-z0-9][a-z0-9-]*$') and s:sub(-1) ~= '-' end
--

-- And this is the same in every script of a service.
-- list lists a service that was not, so that readers find what hangs under it. If anything hangs there already, the list
-- was damaged: a gap in the revisions has readers read it.
local function list(data)
  if redis.call('HLEN', KEYS[3]) >= 10000 then return false end
  local there = 0
  for i = 4, math.min(#KEYS, 7) do there = there + redis.call('HLEN', KEYS[i]) end
  if there > 0 then redis.call('HINCRBY', KEYS[1], 'rev', 1) end
  return change('set', 'service', '', data, {'HSET', KEYS[3], svc, data})
end

-- ensure lists the service if it is not. It says nothing of it.
local function ensure()
  return redis.call('HEXISTS', KEYS[3], svc) == 1 or list('{"implied":true}')
end

if #KEYS ~= 6 and #KEYS ~= 12 then
  return refuse('expected 6 keys: rev, chg, svcs, srvs, adms, reps; for grants also grts, used, gidx, gend, req, gdue')
end
if not isname(svc) then return refuse('service: expected a lower-case name with its final dot') end
for i = 4, math.min(#KEYS, 10) do
  if KEYS[i]:sub(-#svc - 1) ~= ':' .. svc then return refuse('key ' .. i .. ': expected one of the service') end
end
--

local id, op, data = ARGV[2]:lower(), ARGV[3], ARGV[4]
if not isid(id) then return refuse('id: expected letters, digits and inner hyphens') end
local old = redis.call('HGET', KEYS[4], id)
if op == 'del' then
  -- Also when there is nothing: readers may keep what a flushed database has lost, until they are told.
  return {old and 'OK' or 'NONE', change('del', 'server', id, '', {'HDEL', KEYS[4], id}, {'HDEL', KEYS[5], id}, {'HDEL', KEYS[6], id})}
end
if op ~= 'set' then return refuse('operation: expected set or del') end
local new = object(data)
if not new then return refuse('record: expected a JSON object of at most 8192 octets') end
if old == data then return unchanged('OK') end
if old and new.by == 'agent' then
  local stands = object(old)
  if stands and stands.by ~= 'agent' then return unchanged('KEPT') end
end
if not old and redis.call('HLEN', KEYS[4]) >= 100000 then return refuse('too many servers: at most 100000 a service') end
if not ensure() then return refuse('too many services: at most 10000 a shard') end
return {'OK', change('set', 'server', id, data, {'HSET', KEYS[4], id, data})}
