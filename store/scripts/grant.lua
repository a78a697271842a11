-- grant.lua keeps the grants of a service: which part of which server, and what of the network, which client has until
-- when. ARGV: service, and one of
--   ask REQUEST SEEN    asks for a grant; REQUEST is its record (JSON) as far as the asker knows it. SEEN is the id of
--                       the live grant that the asker knew the client to have, empty for none; * stands for whichever it is
--   answer GRANT        what an element has answered: the record as it was read, with what is new
--   end WHO REASON      ends a live grant; WHO is its id, or its client's
--   sweep               does what is due, at most 100 grants
-- KEYS: rev chg svcs srvs adms reps grts used gidx gend, all of the service, and req gdue of its shard. Returns
-- {status, revision, record}. Of ask: OK (made), HELD (a live one stands), RENEWED (it stands and goes on), FULL (no offer
-- fits; nothing is written), MANY (too many; nothing is written). Of answer: OK, STALE (it has changed since it was read),
-- GONE (it is not live). Of end: OK, NONE. Of sweep: OK, revision, number.
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

local grts, used, gidx, gend, req, gdue = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local clock = tonumber(now)
local openfor, keptfor, farthest = 60000, 420000, 86400000 -- ms
local maxlive, maxkept, maxopen, batch, million = 10000, 20000, 1000, 100, 1000000
if #KEYS ~= 12 then return refuse('expected 12 keys') end

-- What a record is made of. Numbers are whole.
local ofoffer = {level = 'string', unit = 'number', share = 'number', network = 'boolean', element = 'string', up = 'number',
  down = 'number', delay = 'number', dscp = 'number', profile = 'string', needs_server = 'boolean', needs_network = 'boolean',
  duration = 'number'}
local ofgrant = {id = 'string', client = 'string', server = 'string', asked = 'string', client_addr = 'string',
  client_port = 'number', phone = 'string', server_addr = 'string', server_port = 'number'}
local live = {requested = true, granted = true, granted_lower = true}
local reasons = {expired = true, released = true, revoked = true, drained = true, full = true, element = true, no_element = true,
  not_entitled = true, not_understood = true, failed = true}

local function text(n) return string.format('%.0f', n) end
local function whole(n, least, most) return type(n) == 'number' and n >= least and n <= most and n == math.floor(n) end
local function ishex(s, n) return type(s) == 'string' and #s == n and not s:find('[^0-9a-f]') end
local function islabel(s, most) return type(s) == 'string' and #s <= most and isid(s) end

-- plain takes the fields of that kind out of a table, or returns nil if one is of another type, or too large.
local function plain(from, fields)
  local into = {}
  for name, kind in pairs(fields) do
    local value = from[name]
    if value ~= nil then
      if type(value) ~= kind or kind == 'string' and #value > 256 then return nil end
      if kind == 'number' and not whole(value, 0, 4294967296) then return nil end
      into[name] = value
    end
  end
  return into
end

local function isoffer(o)
  return type(o) == 'table' and plain(o, ofoffer) and islabel(o.level, 32) and whole(o.duration, 1, farthest / 1000)
    and whole(o.unit or 0, 0, million) and whole(o.share or 0, 0, million)
end

local function isgrant(g)
  if not (g and ishex(g.id, 32) and ishex(g.client, 16) and islabel(g.server, 63) and islabel(g.asked, 32)) then return false end
  if not plain(g, ofgrant) or not isoffer(g) then return false end
  if g.lower == nil then return true end
  if type(g.lower) ~= 'table' or #g.lower > 4 then return false end
  for _, o in ipairs(g.lower) do if not isoffer(o) then return false end end
  return true
end

-- read returns the record of a grant, or nil if there is none that can be read.
local function read(id)
  local g = object(redis.call('HGET', grts, id))
  if isgrant(g) and g.id == id and type(g.state) == 'string' and whole(g['end'], 1, 1e14) and whole(g.version, 1, 2 ^ 53) then
    return g
  end
end

local function offer(g, o)
  for name in pairs(ofoffer) do g[name] = o[name] end
end

local function lower(g, from)
  local rest = {}
  for i = from, #(g.lower or {}) do rest[#rest + 1] = g.lower[i] end
  return #rest > 0 and rest or nil -- an empty list would be encoded as an object
end

local function count(field, by)
  if by ~= 0 and redis.call('HINCRBY', used, field, text(by)) <= 0 then redis.call('HDEL', used, field) end
end

-- hold takes what a live grant holds, or with sign -1 gives it back: the units of its server, and its place among the
-- requests that are open. Every change of a live grant gives back what was held before it.
local function hold(g, sign)
  count(g.server, sign * (g.unit or 0))
  count(g.server .. '/' .. g.level, sign * (g.unit or 0))
  if g.state == 'requested' then count('/open', sign) end
end

local function taken(field) return tonumber(redis.call('HGET', used, field) or '0') end

-- fits says whether an offer has room on a server, when old, which may be nil, is given back.
local function fits(server, o, old)
  local unit, back, same = o.unit or 0, 0, 0
  if unit == 0 then return true end
  if old and old.server == server then
    back = old.unit or 0
    if old.level == o.level then same = back end
  end
  return taken(server) - back + unit <= million
    and taken(server .. '/' .. o.level) - same + unit <= ((o.share or 0) > 0 and o.share or million)
end

-- write stores a grant, whose next version this is, and has readers told. It becomes due at its end, or when it is to be
-- forgotten. An element hears of it if told.
local function write(g, told)
  local due = live[g.state] and g['end'] or clock + keptfor
  g.version, g.at, g.lower = (g.version or 0) + 1, nil, lower(g, 1)
  local data = cjson.encode(g):sub(1, -2) .. ',"at":' .. now .. '}'
  change('set', 'grant', g.id, data, {'HSET', grts, g.id, data}, {'ZADD', gend, text(due), g.id})
  if live[g.state] then
    redis.call('HSET', gidx, g.client, g.id)
  elseif redis.call('HGET', gidx, g.client) == g.id then
    redis.call('HDEL', gidx, g.client)
  end
  if told then redis.call('XADD', req, 'MAXLEN', '~', '10000', '*', 'svc', svc, 'id', g.id, 'v', text(g.version)) end
  return data
end

-- finish makes a live grant final. What it held is given back exactly once: what is final stays so.
local function finish(g, state, reason, told)
  hold(g, -1)
  g.state, g.reason, g['end'] = state, reason, math.min(g['end'], clock)
  return write(g, told and g.network)
end

-- give makes a request a grant. What it holds is up to the caller.
local function give(g)
  g.state, g.start = g.level == g.asked and 'granted' or 'granted_lower', clock
  g['end'] = clock + g.duration * 1000
end

-- expire does what is due at the end of a live grant. A request that nobody answered is refused, unless what it holds of
-- its server is worth having without the network.
local function expire(g)
  if g.state ~= 'requested' then return finish(g, 'ended', 'expired', true) end
  if g.needs_network or (g.unit or 0) == 0 then return finish(g, 'refused', 'no_element', true) end
  hold(g, -1)
  give(g)
  g.network, g.reason = nil, 'no_element'
  hold(g, 1)
  return write(g, true)
end

local function forget(id)
  change('del', 'grant', id, '', {'HDEL', grts, id}, {'ZREM', gend, id})
end

local function sweep()
  local due = redis.call('ZRANGEBYSCORE', gend, '-inf', text(clock), 'LIMIT', '0', tostring(batch))
  for _, id in ipairs(due) do
    local g = read(id)
    if not g or not live[g.state] then
      forget(id)
    elseif g['end'] > clock then
      redis.call('ZADD', gend, text(g['end']), id)
    else
      expire(g)
    end
  end
  return #due
end

-- same says whether a live grant is what is being asked for.
local function same(g, new)
  local moved = g.network and new.client_addr and new.client_addr ~= g.client_addr
  return g.server == new.server and (g.asked == new.asked or g.level == new.level) and not moved
end

-- late says whether more than half of the time of a grant is over.
local function late(g) return g.state ~= 'requested' and g['end'] - clock <= g.duration * 500 end

-- extend has a grant go on from now.
local function extend(g, new)
  if g.level == new.level then g.duration = new.duration end
  g['end'] = clock + g.duration * 1000
  return {'RENEWED', '', write(g, g.network)}
end

-- standing returns the reply to one who asks while a live grant stands, or nil if another is to be made in its place.
local function standing(g, new, seen)
  if not same(g, new) then
    -- Whoever did not know of it does not replace it: two resolvers may have asked at once.
    return seen ~= '*' and seen ~= g.id and {'HELD', '', redis.call('HGET', grts, g.id)} or nil
  end
  if not late(g) then return {'HELD', '', redis.call('HGET', grts, g.id)} end
  if g.level == new.level and new.network and not g.network then return nil end -- the element may answer this time
  return extend(g, new)
end

-- choose returns the first of the offers that fits, and which it is. One that can do without its server's part is taken
-- for the network's alone.
local function choose(new, old)
  for i = 0, #(new.lower or {}) do
    local o = plain(i == 0 and new or new.lower[i], ofoffer)
    if fits(new.server, o, old) then return o, i end
    if not o.needs_server and o.network then
      o.unit, o.share = nil, nil
      return o, i
    end
  end
end

local function many(o, old)
  local open = taken('/open') - (old and old.state == 'requested' and 1 or 0)
  local among = redis.call('HLEN', gidx) - (old and 1 or 0)
  return among >= maxlive or redis.call('HLEN', grts) >= maxkept or o.network and open >= maxopen
end

local function ask(new, seen)
  if not isgrant(new) then return refuse('request: expected id, client, server, asked, and an offer with its duration') end
  local id = redis.call('HGET', gidx, new.client)
  local old = id and read(id)
  if old and old['end'] <= clock then
    expire(old)
    old = live[old.state] and old or nil
  end
  local stands = old and standing(old, new, seen)
  if stands then return stands end
  if redis.call('HEXISTS', grts, new.id) == 1 then return refuse('id: expected one that no grant has') end
  local o, which = choose(new, old)
  if not o then return unchanged('FULL') end
  if many(o, old) then return unchanged('MANY') end
  if not ensure() then return refuse('too many services: at most 10000 a shard') end
  if old then finish(old, 'ended', 'released', true) end
  local g = plain(new, ofgrant)
  g.lower = lower(new, which + 1)
  offer(g, o)
  if o.network then
    g.state, g['end'] = 'requested', clock + openfor
  else
    give(g)
  end
  hold(g, 1)
  local data = write(g, o.network)
  return {'OK', '', data}
end

-- offered returns what of a grant's offers has that level, and which it is; 0 is the one that is asked for now.
local function offered(g, level)
  if g.level == level then return g, 0 end
  for i, o in ipairs(g.lower or {}) do if o.level == level then return o, i end end
end

-- step takes the offer that the element has granted, and the network's part if it has granted that. What was held is given
-- back already. It returns false if the offer has no room.
local function step(g, new, o, which)
  if which > 0 then
    o = plain(o, ofoffer)
    if not fits(g.server, o) then
      if o.needs_server then return false end
      o.unit, o.share = nil, nil
    end
    offer(g, o)
    g.lower = lower(g, which + 1)
  end
  g.network = g.network and new.network or nil
  return true
end

local function printable(s, most)
  if type(s) ~= 'string' or s == '' then return nil end
  return (s:sub(1, most):gsub('[^ -~]', '?'))
end

-- ending returns until when a grant stands that the element has answered; was is what the record said when it was read.
local function ending(g, new, was)
  if not whole(new['end'], 1, 1e14) or new['end'] == was then return g['end'] end
  return math.max(clock, math.min(new['end'], clock + farthest))
end

-- settled takes the element's yes, or that it will tell later.
local function settled(g, new, o, which)
  local was = g['end']
  g.detail, g.session = printable(new.detail, 200), printable(new.session, 128)
  hold(g, -1)
  if not step(g, new, o, which) then
    hold(g, 1)
    if g.state ~= 'requested' then return refuse('level: expected one that has room') end
    finish(g, 'refused', 'full')
    return unchanged('GONE')
  end
  g.reason = reasons[new.reason] and new.reason or nil
  if new.state ~= 'requested' then
    if g.state == 'requested' then give(g) end
    g.state = g.level == g.asked and 'granted' or 'granted_lower'
    g['end'] = ending(g, new, was)
  end
  hold(g, 1)
  return {'OK', '', write(g)}
end

local function answer(new)
  if not new or not ishex(new.id, 32) or not whole(new.version, 1, 2 ^ 53) then
    return refuse('answer: expected the record of a grant')
  end
  local g = read(new.id)
  if not g or not live[g.state] then return unchanged('GONE') end
  if g['end'] <= clock then
    expire(g)
    return unchanged('GONE')
  end
  if g.version ~= new.version then return unchanged('STALE') end
  if new.state == 'ended' or new.state == 'refused' and g.state == 'requested' then
    g.detail, g.session = printable(new.detail, 200), printable(new.session, 128)
    return {'OK', '', finish(g, new.state, reasons[new.reason] and new.reason or 'element')}
  end
  if not live[new.state] or new.state == 'requested' and g.state ~= 'requested' then
    return refuse('state: expected one that may follow ' .. g.state)
  end
  local o, which = offered(g, new.level)
  if not o then return refuse('level: expected one that was offered') end
  if o.needs_network and not new.network then return refuse('network: expected it, the level needs it') end
  return settled(g, new, o, which)
end

local function stop(who, reason)
  if not reasons[reason] then return refuse('reason: expected one that a grant ends for') end
  local id = ishex(who, 32) and who or ishex(who, 16) and redis.call('HGET', gidx, who)
  local g = id and read(id)
  if g and live[g.state] and g['end'] <= clock then expire(g) end
  if not g or not live[g.state] then return unchanged('NONE') end
  return {'OK', '', finish(g, 'ended', reason, true)}
end

-- settle notes when the service is next due, and fills in the revision.
local function settle(reply)
  local first = redis.call('ZRANGE', gend, '0', '0', 'WITHSCORES')
  if first[1] then redis.call('ZADD', gdue, first[2], svc) else redis.call('ZREM', gdue, svc) end
  if reply[2] == '' then reply[2] = redis.call('HGET', KEYS[1], 'rev') or '0' end
  return reply
end

local op = ARGV[2]
if op == 'ask' then
  sweep()
  return settle(ask(#ARGV[3] <= 4096 and object(ARGV[3]), ARGV[4] or ''))
end
if op == 'answer' then return settle(answer(object(ARGV[3]))) end
if op == 'end' then return settle(stop(ARGV[3], ARGV[4])) end
if op ~= 'sweep' then return refuse('operation: expected ask, answer, end or sweep') end
return settle({'OK', '', tostring(sweep())})
