-- head.lua: how requests, holders and events are written and read; taken in by a line "-- include head", after
-- clock.lua. What comes before it in a script goes the shortest way, without it.

-- terms reads a request.
local function terms(text)
  local d, lease, limit, every, hold = {}
  d.id, d.secret, d.node, d.session, lease, d.mode, limit, every, hold, d.grace, d.print, d.client, d.request, d.owner =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%d+) (%a+) (%d+) (%d+) (%d+) (%d+) %d (%S+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n')
  d.lease, d.limit, d.every, d.hold = tonumber(lease), tonumber(limit), tonumber(every), tonumber(hold)
  return d
end

-- parse reads a holder. Token, since and ticket stay digits: nothing is reckoned with them.
local function parse(id, value)
  local e, state, token, since, ticket, till, text = string.match(value, '^(%d+) (%a) (%d+) (%d+) (%d+) (%d+)\n(.*)$')
  return {id = id, ends = tonumber(e), state = state, token = token, since = since, ticket = ticket,
    till = tonumber(till), text = text}
end

-- describe is what a holder asked for.
local function describe(h)
  if not h.d then h.d = terms(h.text) end
  return h.d
end

local function value(h)
  return string.format('%d %s %s %s %s %d\n', h.ends, h.state, h.token, h.since, h.ticket, h.till or 0) .. h.text
end

-- due is how the partition's clock knows a lease.
local function due(name, h) return name .. '\n' .. h.id .. '\n' .. describe(h).node end

-- renews asks whether the lease renews itself from now on.
local function renews(h, d)
  return d.every > 0 and h.state ~= 'P' and (d.hold == 0 or h.ends < math.floor(h.since / 1000) + d.hold) and
    (not h.till or h.till == 0 or now < h.till)
end

-- put writes a holder, and notes when somebody must next look at its lease: at its renewal, or at its end. Renewals
-- come in steps of a fifth of their interval, so that one call sees to many.
local function put(name, h)
  local d, at = describe(h), h.ends
  if renews(h, d) then
    local next = now + d.every
    at = math.min(at, next - next % math.max(1, math.floor(d.every / 5)))
  end
  redis.call('HSET', base .. LOCK .. name, h.id, value(h))
  redis.call('ZADD', base .. DUE, int(at), due(name, h))
end

-- A session's own: what it waits for, and what it holds after a wait or with renewal, so that it can find them again
-- on another node. A lock taken at once and not renewed is not among them: its lease is all there is to it.
local function note(name, d) redis.call('HSET', base .. SESSION .. d.session, name .. '\n' .. d.client .. '\n' .. d.request, '') end
