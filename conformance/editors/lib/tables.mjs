// Open WebUI 0.6.41's tables, as far as the real-time layer knows them, and who and what is in them.

export const TABLES = `
CREATE TABLE "user" (
  id VARCHAR(255) PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL, role VARCHAR(255) NOT NULL,
  profile_image_url TEXT NOT NULL DEFAULT '', created_at INTEGER NOT NULL DEFAULT 1,
  updated_at INTEGER NOT NULL DEFAULT 1,
  last_active_at INTEGER NOT NULL, settings JSON
);
CREATE TABLE "group" (id TEXT PRIMARY KEY, permissions JSON);
CREATE TABLE group_member (id TEXT PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL);
CREATE TABLE channel (
  id TEXT PRIMARY KEY, user_id TEXT, name TEXT, type TEXT, access_control JSON, archived_at BIGINT, deleted_at BIGINT
);
CREATE TABLE channel_member (
  id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, user_id TEXT NOT NULL, is_active BOOLEAN DEFAULT 1 NOT NULL,
  last_read_at BIGINT, updated_at BIGINT
);
CREATE TABLE chat (
  id VARCHAR(255) PRIMARY KEY, user_id VARCHAR(255) NOT NULL, title TEXT NOT NULL, updated_at DATETIME, chat JSON
);
CREATE TABLE config (id INTEGER PRIMARY KEY, data JSON NOT NULL);
CREATE TABLE note (id TEXT PRIMARY KEY, user_id TEXT, title TEXT, data JSON, access_control JSON, updated_at BIGINT);
`;

/** The content of a note before it is first opened through roomcast. */
export const NOTE = {
  type: "doc",
  content: [
    { type: "heading", attrs: { level: 1 }, content: [{ type: "text", text: "The plan" }] },
    { type: "paragraph", content: [{ type: "text", text: "First, tea." }] },
  ],
};

const DATA = {
  files: [],
  content: { md: "# The plan\n\nFirst, tea.", html: "<h1>The plan</h1><p>First, tea.</p>", json: NOTE },
};

/** Ann owns the notes; bob, cid and dan may write, rea may read, and eve may do neither; pat waits to be admitted. */
const ACCESS = {
  read: { user_ids: ["bob", "cid", "dan", "rea", "pat"], group_ids: [] },
  write: { user_ids: ["bob", "cid", "dan", "pat"], group_ids: [] },
};

const text = (value) => `'${JSON.stringify(value)}'`;
const users = ["ann", "bob", "cid", "dan", "rea", "eve", "pat"];

export const ROWS = `
INSERT INTO "user" (id, name, email, role, last_active_at) VALUES
  ${users.map((id) => `('${id}', '${id}', '${id}@example.org', '${id === "pat" ? "pending" : "user"}', 1)`).join(", ")};
INSERT INTO note (id, user_id, title, data, access_control, updated_at) VALUES
  ('plan', 'ann', 'Plan', ${text(DATA)}, ${text(ACCESS)}, 1),
  ('blank', 'ann', 'Blank', NULL, ${text(ACCESS)}, 1);
`;
