-- admin.lua sets what is wanted of a server, apart from how it fares. ARGV: service, id, ready|drain|maint, by
-- (operator or agent; operator if empty). KEYS: rev chg svcs srvs adms reps, all of the service. Returns
-- {OK|KEPT, revision}; KEPT: an operator's word stands, and an agent's does not replace it.
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

local id, state, by = ARGV[2]:lower(), ARGV[3], ARGV[4]
if not by or by == '' then by = 'operator' end
if not isid(id) then return refuse('id: expected letters, digits and inner hyphens') end
if state ~= 'ready' and state ~= 'drain' and state ~= 'maint' then
  return refuse('state: expected ready, drain or maint')
end
if by ~= 'operator' and by ~= 'agent' then return refuse('by: expected operator or agent') end
local text = redis.call('HGET', KEYS[5], id)
local old = text and object(text) or {state = 'ready'}
if by == 'agent' and old.state ~= 'ready' and old.by ~= 'agent' then return unchanged('KEPT') end

-- left is what is remembered of a server whose agent has left: report.lua says so, and takes it back.
local left = ''
if type(old.left) == 'string' and type(old.left_at) == 'number' then
  left = string.format(',"left":"%s","left_at":%.0f', old.left:match('^%l+') or 'stopped', old.left_at)
  if type(old.addresses) == 'table' and #old.addresses > 0 then left = left .. ',"addresses":' .. cjson.encode(old.addresses) end
  if old.by == 'agent' and old.state == 'maint' then old.state = 'left' end
end
local function record(state, since, by, more)
  return string.format('{"state":"%s","since":%s,"by":"%s"%s}', state, since, by, more)
end
local function set(data) return {'OK', change('set', 'admin', id, data, {'HSET', KEYS[5], id, data})} end

-- A server that has left is ready when its agent reports, or when an operator has nothing else to take back.
if left ~= '' and state == 'ready' and (by == 'agent' or old.state ~= 'left') then
  if old.state == 'left' then return unchanged('OK') end
  return set(record('maint', string.format('%.0f', old.left_at), 'agent', left))
end
-- An operator's ready is written even if ready stands: readers may keep a state that a flushed database has lost.
if old.state == state and (old.by == by or by == 'agent') and (state ~= 'ready' or by == 'agent') then return unchanged('OK') end
if state == 'ready' and by == 'agent' then return {'OK', change('del', 'admin', id, '', {'HDEL', KEYS[5], id})} end
if not text and redis.call('HLEN', KEYS[5]) >= 100000 then
  return refuse('too many admin states: at most 100000 a service')
end
if not ensure() then return refuse('too many services: at most 10000 a shard') end
local since = old.state == state and state ~= 'ready' and type(old.since) == 'number' and string.format('%.0f', old.since) or now
return set(record(state, since, by, state == 'ready' and '' or left))
