-- entitle.lua sets or removes a key that signs handles, or what is known of a handle. ARGV: ., key|handle, id, set|del, record
-- (JSON). KEYS: rev chg keys hdls. Returns {OK|NONE, revision}.
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

-- Secrets do not go into the stream: of a key it says the id alone.
local hash = {key = KEYS[3], handle = KEYS[4]}
local most = {key = 256, handle = 100000}
if #KEYS ~= 4 or svc ~= '.' then return refuse('expected 4 keys: rev, chg, keys, hdls; and . in the place of a service') end
local kind, id, op, data = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not hash[kind] then return refuse('kind: expected key or handle') end
if kind == 'key' and not (id:find('^%d%d?%d?$') and tonumber(id) < 256 and tostring(tonumber(id)) == id) then
  return refuse('id: expected 0 to 255')
end
if kind == 'handle' and (#id ~= 32 or id:find('[^0-9a-f]')) then return refuse('id: expected 32 hexadecimal digits') end

local old = redis.call('HGET', hash[kind], id)
if op == 'del' then return {old and 'OK' or 'NONE', change('del', kind, id, '', {'HDEL', hash[kind], id})} end
if op ~= 'set' then return refuse('operation: expected set or del') end
local new = object(data)
if not new then return refuse('record: expected a JSON object of at most 8192 octets') end
if kind == 'key' and type(new.secret) ~= 'string' then return refuse('secret: expected one, in base64') end
if kind == 'handle' and type(new.expires) ~= 'number' then return refuse('expires: expected milliseconds since 1970') end
if old == data then return unchanged('OK') end

-- sweep removes handles that have expired, of some that it happens to look at: of a few each time, of many when there is
-- no room.
local function sweep()
  local some = redis.call('HLEN', hash.handle) >= most.handle and '1000' or '10'
  for _, h in ipairs(redis.call('HRANDFIELD', hash.handle, some)) do
    local record = object(redis.call('HGET', hash.handle, h))
    if record and type(record.expires) == 'number' and record.expires <= tonumber(now) then
      change('del', 'handle', h, '', {'HDEL', hash.handle, h})
    end
  end
end
if kind == 'handle' then sweep() end
if not old and redis.call('HLEN', hash[kind]) >= most[kind] then
  return refuse('too many: at most ' .. most[kind] .. ' of a ' .. kind)
end
return {'OK', change('set', kind, id, kind == 'handle' and data or '', {'HSET', hash[kind], id, data})}
