//! Changes to the models in use that several processes make at once.
//!
//! Open WebUI keeps one JSON object for each model and writes it as a whole, so that of two writers one loses. Here each
//! change is one script, which Redis runs at once.
//!
//! Owns: the scripts. Must never know: a connection.

use roomcast_redis::redis;

/// The socket `sid` uses `model`.
pub(super) fn touch(pool: &str, model: &str, sid: &str, now_secs: u64) -> redis::Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(TOUCH).arg(1).arg(pool).arg(model).arg(sid).arg(now_secs);
    eval
}

/// Removes these sockets from all models.
pub(super) fn forget(pool: &str, sids: &[&str]) -> redis::Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(FORGET).arg(1).arg(pool).arg(sids);
    eval
}

/// Removes what is older than `since_secs`, and gives the models that are left.
pub(super) fn sweep(pool: &str, since_secs: u64) -> redis::Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(SWEEP).arg(1).arg(pool).arg(since_secs);
    eval
}

// What another program wrote there and is no object counts as empty. `%d` because Lua writes large numbers as floats.
const TOUCH: &str = r#"
local ok, users = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '{}')
if not ok or type(users) ~= 'table' then users = {} end
users[ARGV[2]] = nil
local parts = {cjson.encode(ARGV[2]) .. ': {"updated_at": ' .. string.format('%d', ARGV[3]) .. '}'}
for sid, use in pairs(users) do
  local at = type(use) == 'table' and tonumber(use.updated_at) or 0
  parts[#parts + 1] = cjson.encode(sid) .. ': {"updated_at": ' .. string.format('%d', at) .. '}'
end
redis.call('HSET', KEYS[1], ARGV[1], '{' .. table.concat(parts, ', ') .. '}')
return 1
"#;

const FORGET: &str = r#"
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ok, users = pcall(cjson.decode, all[i + 1])
  if ok and type(users) == 'table' then
    local changed = false
    for _, sid in ipairs(ARGV) do
      if users[sid] ~= nil then users[sid] = nil; changed = true end
    end
    if changed and next(users) == nil then
      redis.call('HDEL', KEYS[1], all[i])
    elseif changed then
      redis.call('HSET', KEYS[1], all[i], cjson.encode(users))
    end
  end
end
return 1
"#;

const SWEEP: &str = r#"
local all, models = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local ok, users = pcall(cjson.decode, all[i + 1])
  local left, changed = false, not ok or type(users) ~= 'table'
  if not changed then
    for sid, use in pairs(users) do
      local at = type(use) == 'table' and tonumber(use.updated_at) or 0
      if at < tonumber(ARGV[1]) then users[sid] = nil; changed = true else left = true end
    end
  end
  if left then
    models[#models + 1] = all[i]
    if changed then redis.call('HSET', KEYS[1], all[i], cjson.encode(users)) end
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
table.sort(models)
return models
"#;
