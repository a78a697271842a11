-- report.lua takes what an agent says of a server now, at last that it leaves. ARGV: service, id or id@reporter, report
-- (JSON). KEYS: rev chg svcs srvs adms reps, all of the service. Returns {OK, revision}; {UNKNOWN, revision}: the server is
-- not registered; {STALE, revision, seq}: this agent has reported with a later seq; {CLAIMED, revision, agent}: a newer
-- agent reports.
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

local field, data = ARGV[2]:lower(), ARGV[3]
local id, reporter = field:match('^([^@]*)@?(.*)$')
if not isid(id) or field ~= id and not isid(reporter) then
  return refuse('id: expected letters, digits and inner hyphens, as ID or ID@REPORTER')
end
local new = object(data)
if not new then return refuse('report: expected a JSON object of at most 8192 octets') end
local leaves = new.leave == true
if leaves and field ~= id then return refuse('leave: expected a report of the server itself') end
if not leaves and (type(new.lease) ~= 'number' or not (new.lease >= 0.1 and new.lease <= 86400)) then
  return refuse('lease: expected 0.1 to 86400 seconds')
end
if new.agent ~= nil and (type(new.agent) ~= 'string' or type(new.seq) ~= 'number' or not (new.seq >= 1)) then
  return refuse('agent and seq: expected a string and a number from 1')
end

-- live says whether a report ended less than grace ms ago.
local function live(report, grace)
  return type(report.at) == 'number' and type(report.lease) == 'number'
    and report.at + report.lease * 1000 + grace > tonumber(now)
end

-- read reads a record of a hash, nil if there is none.
local function read(key, of)
  local json = redis.call('HGET', key, of)
  return json and object(json)
end

local text = redis.call('HGET', KEYS[6], field)
local old = text and object(text) or {}
local registered = redis.call('HEXISTS', KEYS[4], id) == 1
if new.agent then
  -- The server's own agent can register it. A prober cannot, and its server may stand in a Corefile.
  if not registered and field == id then return unchanged('UNKNOWN') end
  if old.agent == new.agent and type(old.seq) == 'number' and new.seq <= old.seq then
    return unchanged('STALE', string.format('%.0f', old.seq))
  end
  if (new.seq > 1 or leaves) and type(old.agent) == 'string' and old.agent ~= new.agent and live(old, 0) then
    return unchanged('CLAIMED', old.agent)
  end
end

-- byOperator tells whether an operator has taken the server out, or is draining it.
local function byOperator(admin)
  return admin and admin.by ~= 'agent' and (admin.state == 'drain' or admin.state == 'maint')
end

-- forget makes room for one more server that left: of a thousand, the one goes that left first, as far as ten tell.
local function forget()
  if redis.call('HLEN', KEYS[5]) < 1000 then return end
  local first, at
  for _, of in ipairs(redis.call('HRANDFIELD', KEYS[5], 10)) do
    local admin = read(KEYS[5], of)
    if admin and admin.left and admin.by == 'agent' and type(admin.left_at) == 'number' and (not at or admin.left_at < at) then
      first, at = of, admin.left_at
    end
  end
  if first then change('del', 'admin', first, '', {'HDEL', KEYS[5], first}) end
end

-- leave takes a server out until it is reported on, or an operator has it ready. It may stand in a Corefile, where no
-- deletion reaches. Readers that know nothing of that take it for one in maint. What an operator said stands.
local function leave(of, why)
  local admin, record = read(KEYS[5], of), read(KEYS[4], of)
  local state, since, by = 'maint', now, 'agent'
  local more, commands = '', {{'HDEL', KEYS[6], of}}
  if byOperator(admin) then
    state, by = admin.state, 'operator'
    if type(admin.since) == 'number' then since = string.format('%.0f', admin.since) end
  elseif record and record.by == 'agent' then
    table.insert(commands, {'HDEL', KEYS[4], of})
    -- Where somebody else answers with its addresses, readers leave them out.
    local addresses = record.addresses
    if type(addresses) == 'table' and #addresses > 0 and #addresses <= 8 then more = ',"addresses":' .. cjson.encode(addresses) end
  end
  if not admin then forget() end
  local said = string.format('{"state":"%s","since":%s,"by":"%s","left":"%s","left_at":%s%s}', state, since, by, why, now, more)
  table.insert(commands, {'HSET', KEYS[5], of, said})
  return change('set', 'admin', of, said, unpack(commands))
end
if leaves then
  if not ensure() then return refuse('too many services: at most 10000 a shard') end
  return {'OK', leave(id, 'stopped')}
end

-- back takes a server in that had left. It returns the revision, nil if it had not.
local function back(admin)
  if not admin or not admin.left then return nil end
  if not byOperator(admin) and admin.state ~= 'drain' then return change('del', 'admin', id, '', {'HDEL', KEYS[5], id}) end
  local said = string.format('{"state":"%s","since":%.0f,"by":"%s"}', admin.state, tonumber(admin.since) or now,
    byOperator(admin) and 'operator' or 'agent')
  return change('set', 'admin', id, said, {'HSET', KEYS[5], id, said})
end

-- wellSince is since when the server has been well, in ms; nil if it was never seen to be anything else. A prober that
-- was away has seen nothing.
local admin = field == id and not text and read(KEYS[5], id)
local function wellSince()
  local was = type(old.well) == 'number' and old.well >= 1 and string.format('%.0f', old.well) or nil
  if not text then return admin and admin.left and now or nil end
  if old.health == 'down' or field == id and not live(old, 0) then return now end
  return was
end

local well = wellSince()
local stored = data:match('^(.*)}%s*$') .. (well and ',"well":' .. well or '') .. ',"at":' .. now .. '}'
if #stored > 8192 then return refuse('report: expected at most 8192 octets with the times') end
if not text and redis.call('HLEN', KEYS[6]) >= 200000 then
  return refuse('too many reports: at most 200000 a service')
end
if not ensure() then return refuse('too many services: at most 10000 a shard') end

-- sweep has the servers leave whose agents crashed an hour ago, at most two a call; not what an operator
-- registered or took out. Not in a report that comes after a pause: then the clock may have jumped, or everybody may have
-- been away.
local hour = 3600000
local function sweep()
  for _, f in ipairs(redis.call('HRANDFIELD', KEYS[6], 2)) do
    local report, of = read(KEYS[6], f), f:match('^[^@]*')
    if report and not live(report, hour) then
      local record = read(KEYS[4], of)
      if of ~= f then
        change('del', 'report', f, '', {'HDEL', KEYS[6], f})
      elseif not record or record.by == 'agent' and not byOperator(read(KEYS[5], of)) then
        leave(of, 'swept')
      end
    end
  end
end
if live(old, 0) then sweep() end
local rev = change('set', 'report', field, stored, {'HSET', KEYS[6], field, stored})
return {'OK', back(admin) or rev}
