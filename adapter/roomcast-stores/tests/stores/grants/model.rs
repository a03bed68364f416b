//! Rows that a generator makes, and the rules of Open WebUI 0.12 read naively: one question at a time, by looking through
//! all rows.

use roomcast_openwebui::query::{ChatShare, Permission};

use super::place::{or_null, quoted};

pub const USERS: [&str; 5] = ["ann", "bob", "cy", "O'Née", "*x"];
/// The last one is not there.
pub const FILES: [&str; 4] = ["f0", "f1", "f2", "f3"];
const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];
const FOLDERS: [&str; 5] = ["d0", "d1", "d2", "d3", "d4"];

#[derive(Debug)]
pub struct NaiveRights {
    groups: Vec<Group>,
    grants: Vec<Grant>,
    folders: Vec<Folder>,
    channels: Vec<ModelChannel>,
    pub notes: Vec<ModelNote>,
    pub chats: Vec<ModelChat>,
    files: Vec<(String, String)>,
    knowledge: Vec<(String, String)>,
    models: Vec<(String, String, String)>,
    /// Table, what it is linked to, and the file.
    links: Vec<(&'static str, String, String)>,
    /// What the configuration says of features, by name.
    default: Vec<(&'static str, bool)>,
}

#[derive(Debug)]
struct Group {
    id: String,
    parent: Option<String>,
    members: Vec<String>,
    says: Vec<(&'static str, bool)>,
}

#[derive(Debug)]
struct Grant {
    resource: &'static str,
    id: String,
    principal: (&'static str, String),
    right: &'static str,
}

#[derive(Debug)]
struct Folder {
    id: String,
    parent: Option<String>,
    owner: String,
    mode: Option<&'static str>,
}

#[derive(Debug)]
struct ModelChannel {
    id: String,
    owner: String,
    kind: Option<&'static str>,
    is_gone: bool,
    members: Vec<(String, bool)>,
}

#[derive(Debug)]
pub struct ModelNote {
    pub id: String,
    pub owner: String,
    file: Option<String>,
}

#[derive(Debug)]
pub struct ModelChat {
    pub id: String,
    pub owner: String,
    pub is_internal: bool,
    folder: Option<String>,
    is_linked: bool,
    /// Modes of its rows in `shared_chat`, the oldest first.
    modes: Vec<Option<&'static str>>,
}

const FEATURES: [&str; 3] = ["notes", "channels", "encrypted_channels"];

/// The rules, by looking through all rows.
impl NaiveRights {
    /// Groups of a user and all above them, of those that are there.
    fn groups_of(&self, user: &str) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        let mut next: Vec<&Group> =
            self.groups.iter().filter(|group| group.members.iter().any(|member| member == user)).collect();
        while let Some(group) = next.pop() {
            if !found.contains(&group.id.as_str()) {
                found.push(&group.id);
                next.extend(self.groups.iter().filter(|above| Some(&above.id) == group.parent.as_ref()));
            }
        }
        found
    }

    pub fn grants(&self, resource: &str, id: &str, user: &str, right: &str) -> bool {
        let groups = self.groups_of(user);
        self.grants.iter().filter(|row| row.resource == resource && row.id == id && row.right == right).any(
            |row| match (row.principal.0, row.principal.1.as_str()) {
                ("user", who) => who == "*" || who == user,
                ("group", who) => groups.contains(&who),
                _ => false,
            },
        )
    }

    pub fn feature(&self, user: &str, name: &str) -> Permission {
        let says = |said: &[(&str, bool)]| said.iter().find(|(known, _)| *known == name).map(|(_, is)| *is);
        let groups = self.groups_of(user);
        let mut of_groups = self.groups.iter().filter(|group| groups.contains(&group.id.as_str()));
        let unsaid = name != "encrypted_channels";
        let is_granted =
            of_groups.any(|group| says(&group.says) == Some(true)) || says(&self.default).unwrap_or(unsaid);
        if is_granted { Permission::Granted } else { Permission::Denied }
    }

    fn may_enter(&self, channel: &ModelChannel, user: &str) -> bool {
        !channel.is_gone
            && match channel.kind {
                Some("group" | "dm") => channel.members.iter().any(|(who, is_active)| who == user && *is_active),
                _ => channel.owner == user || self.grants("channel", &channel.id, user, "read"),
            }
    }

    pub fn channels_of(&self, user: &str) -> Vec<String> {
        let channels = self.channels.iter().filter(|channel| self.may_enter(channel, user));
        channels.map(|channel| channel.id.clone()).collect()
    }

    /// Whether a user may look into a folder, by itself or by one above it.
    fn may_open(&self, folder: &str, user: &str) -> bool {
        let (mut at, mut seen) = (Some(folder), Vec::new());
        while let Some(id) = at.filter(|id| !seen.contains(id)) {
            seen.push(id);
            let Some(folder) = self.folders.iter().find(|folder| folder.id == id) else { return false };
            if folder.owner == user || self.grants("folder", id, user, "read") {
                return true;
            }
            at = folder.parent.as_deref();
        }
        false
    }

    pub fn share(&self, chat: &ModelChat, user: &str) -> ChatShare {
        let goes_on = chat.modes.last() == Some(&Some("continue"));
        if goes_on && self.grants("shared_chat", &chat.id, user, "read") {
            return ChatShare::Write;
        }
        match chat.folder.as_deref() {
            Some(folder) if self.may_open(folder, user) => {
                let found = self.folders.iter().find(|known| known.id == folder);
                let goes_on = found.is_some_and(|folder| folder.mode == Some("continue"));
                if goes_on { ChatShare::Write } else { ChatShare::Read }
            }
            Some(_) | None => ChatShare::None,
        }
    }

    pub fn may_read_file(&self, file: &str, user: &str) -> bool {
        let Some((_, owner)) = self.files.iter().find(|(id, _)| id == file) else { return false };
        let linked = |table: &'static str| {
            self.links.iter().filter(move |link| link.0 == table && link.2 == file).map(|link| link.1.as_str())
        };
        owner == user
            || linked("knowledge_file").any(|id| {
                let owner = self.knowledge.iter().find(|(known, _)| known == id);
                owner.is_some_and(|(_, owner)| owner == user || self.grants("knowledge", id, user, "read"))
            })
            || linked("channel_file")
                .any(|id| self.channels.iter().any(|channel| channel.id == id && self.may_enter(channel, user)))
            || linked("chat_file").any(|id| {
                self.chats.iter().filter(|chat| chat.id == id && (chat.is_linked || chat.folder.is_some())).any(
                    |chat| {
                        chat.owner == user
                            || self.grants("shared_chat", id, user, "read")
                            || self.share(chat, user) != ChatShare::None
                    },
                )
            })
            || self.notes.iter().any(|note| {
                note.owner == *owner
                    && note.file.as_deref() == Some(file)
                    && self.grants("note", &note.id, user, "read")
            })
            || self
                .models
                .iter()
                .any(|(id, owner, of)| of == file && (owner == user || self.grants("model", id, user, "read")))
    }
}

/// Rows as the dice fall.
impl NaiveRights {
    pub fn random(seed: u64) -> Self {
        let mut rng = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let groups = GROUPS.iter().map(|id| Group {
            id: (*id).to_owned(),
            // Of a group that is not there nothing follows; any circle may come about, also with itself.
            parent: rng.maybe(|rng| rng.one_of(&["g0", "g1", "g2", "g3", "g4", "g5", "gone"])),
            members: USERS.iter().filter(|_| rng.chance(4)).map(|id| (*id).to_owned()).collect(),
            says: rng.features(),
        });
        let groups: Vec<Group> = groups.collect();
        let folders = FOLDERS.iter().map(|id| Folder {
            id: (*id).to_owned(),
            parent: rng.maybe(|rng| rng.one_of(&["d0", "d1", "d2", "d3", "d4", "gone"])),
            owner: rng.one_of(&USERS),
            mode: rng.mode(),
        });
        let folders = folders.collect();
        let channels = (0..6).map(|at| ModelChannel {
            id: format!("c{at}"),
            owner: rng.one_of(&USERS),
            kind: [None, Some(""), Some("standard"), Some("group"), Some("dm"), None][rng.below(6)],
            is_gone: rng.chance(6),
            members: USERS
                .iter()
                .filter(|_| rng.chance(3))
                .map(|id| (*id).to_owned())
                .collect::<Vec<_>>()
                .into_iter()
                .map(|id| (id, rng.chance(2)))
                .collect(),
        });
        let channels = channels.collect();
        let notes = (0..4).map(|at| ModelNote {
            id: format!("n{at}"),
            owner: rng.one_of(&USERS),
            file: rng.maybe(|rng| rng.one_of(&FILES)),
        });
        let notes = notes.collect();
        let chats = (0..5).map(|at| ModelChat {
            id: format!("h{at}"),
            owner: rng.one_of(&USERS),
            is_internal: rng.chance(4),
            folder: rng.maybe(|rng| rng.one_of(&["d0", "d1", "d2", "d3", "d4", "gone"])),
            is_linked: rng.chance(2),
            modes: (0..rng.below(3)).map(|_| rng.mode()).collect(),
        });
        let chats = chats.collect();
        let mut model = Self {
            groups,
            grants: Vec::new(),
            folders,
            channels,
            notes,
            chats,
            files: FILES[..3].iter().map(|id| ((*id).to_owned(), rng.one_of(&USERS))).collect(),
            knowledge: ["k0", "k1"].iter().map(|id| ((*id).to_owned(), rng.one_of(&USERS))).collect(),
            models: ["m0", "m1"].iter().map(|id| ((*id).to_owned(), rng.one_of(&USERS), rng.one_of(&FILES))).collect(),
            links: Vec::new(),
            default: rng.features(),
        };
        for _ in 0..rng.below(6) {
            let (table, id) = [("knowledge_file", "k"), ("channel_file", "c"), ("chat_file", "h")][rng.below(3)];
            let link = (table, format!("{id}{}", rng.below(2)), rng.one_of(&FILES[..3]));
            if !model.links.contains(&link) {
                model.links.push(link);
            }
        }
        for _ in 0..rng.below(40) {
            model.grant(&mut rng);
        }
        model
    }

    fn grant(&mut self, rng: &mut Dice) {
        let (resource, id, count) = [
            ("note", "n", 4),
            ("channel", "c", 6),
            ("shared_chat", "h", 5),
            ("folder", "d", 5),
            ("knowledge", "k", 2),
            ("model", "m", 2),
        ][rng.below(6)];
        let principal = match rng.below(8) {
            // No login is needed for this one, which is none of a user's rights.
            0 => ("anyone", "*".to_owned()),
            1 => ("user", "*".to_owned()),
            // Names of the other kind mean nothing.
            2 => ("group", "*".to_owned()),
            3 => ("user", rng.one_of(&GROUPS)),
            4 | 5 => ("user", rng.one_of(&USERS)),
            _ => ("group", rng.one_of(&GROUPS)),
        };
        let right = if rng.chance(3) { "write" } else { "read" };
        let grant = Grant { resource, id: format!("{id}{}", rng.below(count)), principal, right };
        let is_known = self.grants.iter().any(|known| {
            (known.resource, &known.id, &known.principal, known.right)
                == (grant.resource, &grant.id, &grant.principal, grant.right)
        });
        if !is_known {
            self.grants.push(grant);
        }
    }

    /// Statements that write the rows.
    pub fn inserts(&self) -> String {
        let mut sql = String::new();
        let mut insert = |table: &str, columns: &str, values: &[String]| {
            sql += &format!("INSERT INTO {table} ({columns}) VALUES ({});\n", values.join(", "));
        };
        let features = |said: &[(&str, bool)]| {
            let said: Vec<_> = said.iter().map(|(name, is)| format!("\"{name}\": {is}")).collect();
            quoted(&format!("{{\"features\": {{{}}}}}", said.join(", ")))
        };
        for user in USERS {
            let id = quoted(user);
            insert("\"user\"", "id, name, role, last_active_at", &[id.clone(), id.clone(), quoted("user"), "1".into()]);
            insert("auth", "id, active", &[id, "TRUE".into()]);
        }
        insert("config", "key, value", &[quoted("user.permissions"), features(&self.default)]);
        for (number, group) in self.groups.iter().enumerate() {
            let says = if group.says.is_empty() { "NULL".to_owned() } else { features(&group.says) };
            let values = [quoted(&group.id), or_null(group.parent.as_deref()), says];
            insert("\"group\"", "id, parent_group_id, permissions", &values);
            for member in &group.members {
                let values = [quoted(&format!("{number}-{member}")), quoted(&group.id), quoted(member)];
                insert("group_member", "id, group_id, user_id", &values);
            }
        }
        for (number, grant) in self.grants.iter().enumerate() {
            let (kind, who) = &grant.principal;
            let texts = [&number.to_string(), grant.resource, &grant.id, kind, who, grant.right];
            let values = texts.iter().map(|text| quoted(text)).chain(["1".to_owned()]).collect::<Vec<_>>();
            let columns = "id, resource_type, resource_id, principal_type, principal_id, permission, created_at";
            insert("access_grant", columns, &values);
        }
        for folder in &self.folders {
            let mode = or_null(folder.mode.map(|mode| format!("{{\"share_mode\": \"{mode}\"}}")).as_deref());
            let (id, parent) = (quoted(&folder.id), or_null(folder.parent.as_deref()));
            let values = [id, parent, quoted(&folder.owner), quoted("F"), "FALSE".into(), "1".into(), "1".into(), mode];
            insert("folder", "id, parent_id, user_id, name, is_expanded, created_at, updated_at, data", &values);
        }
        sql + &self.inserts_of_resources()
    }

    fn inserts_of_resources(&self) -> String {
        let mut sql = String::new();
        let mut insert = |table: &str, columns: &str, values: &[String]| {
            sql += &format!("INSERT INTO {table} ({columns}) VALUES ({});\n", values.join(", "));
        };
        for (number, channel) in self.channels.iter().enumerate() {
            let (archived, deleted) = [("NULL", "1"), ("1", "NULL")][number % 2];
            let (archived, deleted) = if channel.is_gone { (archived, deleted) } else { ("NULL", "NULL") };
            let (id, owner) = (quoted(&channel.id), quoted(&channel.owner));
            let values = [id.clone(), owner, or_null(channel.kind), archived.into(), deleted.into()];
            insert("channel", "id, user_id, type, archived_at, deleted_at", &values);
            for (member, is_active) in &channel.members {
                let name = quoted(&format!("{number}-{member}"));
                let values = [name, id.clone(), quoted(member), is_active.to_string(), "1".into()];
                insert("channel_member", "id, channel_id, user_id, is_active, joined_at", &values);
            }
            let app = [quoted(&format!("{number}-app")), id, quoted("app"), "TRUE".into(), "1".into()];
            insert("channel_member", "id, channel_id, app_id, is_active, joined_at", &app);
        }
        for note in &self.notes {
            let file = note.file.as_deref().unwrap_or("-");
            let data = format!(
                "{{\"content\": {{\"md\": \"f0 f1 f2\"}}, \"files\": [{{\"type\": \"file\", \"id\": \"{file}\"}}, {{\"type\": \"note\", \"id\": \"f1\"}}]}}"
            );
            insert("note", "id, user_id, data", &[quoted(&note.id), quoted(&note.owner), quoted(&data)]);
        }
        for chat in &self.chats {
            let meta = if chat.is_internal { r#"{"internal": true}"# } else { r#"{"internal": "true"}"# };
            let link = or_null(chat.is_linked.then_some(chat.id.as_str()));
            let (id, folder) = (quoted(&chat.id), or_null(chat.folder.as_deref()));
            insert(
                "chat",
                "id, user_id, folder_id, share_id, meta",
                &[id.clone(), quoted(&chat.owner), folder, link, quoted(meta)],
            );
            for (at, mode) in chat.modes.iter().enumerate() {
                let mode = mode.map_or("{}".to_owned(), |mode| format!("{{\"share_mode\": \"{mode}\"}}"));
                let name = quoted(&format!("{}-{at}", chat.id));
                let values = [name, id.clone(), quoted(&chat.owner), quoted(&mode), at.to_string()];
                insert("shared_chat", "id, chat_id, user_id, chat, updated_at", &values);
            }
        }
        for (id, owner) in &self.files {
            insert("file", "id, user_id", &[quoted(id), quoted(owner)]);
        }
        for (id, owner) in &self.knowledge {
            insert("knowledge", "id, user_id, name, created_at", &[quoted(id), quoted(owner), quoted("K"), "1".into()]);
        }
        for (id, owner, file) in &self.models {
            let meta = format!(
                "{{\"knowledge\": [{{\"type\": \"file\", \"id\": \"{file}\"}}], \"description\": \"f0 f1 f2\"}}"
            );
            insert("model", "id, user_id, meta, is_active", &[quoted(id), quoted(owner), quoted(&meta), "TRUE".into()]);
        }
        for (number, (table, to, file)) in self.links.iter().enumerate() {
            let column = match *table {
                "knowledge_file" => "knowledge_id",
                "channel_file" => "channel_id",
                _ => "chat_id",
            };
            let values = [quoted(&number.to_string()), quoted("ann"), quoted(to), quoted(file), "1".into(), "1".into()];
            insert(table, &format!("id, user_id, {column}, file_id, created_at, updated_at"), &values);
        }
        sql
    }
}

/// <https://prng.di.unimi.it/xorshift64star.c>
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % count
    }

    /// One of so many times.
    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        texts[self.below(texts.len())].to_owned()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.chance(3) { None } else { Some(make(self)) }
    }

    fn mode(&mut self) -> Option<&'static str> {
        [None, Some("continue"), Some("snapshot"), Some("continue")][self.below(4)]
    }

    fn features(&mut self) -> Vec<(&'static str, bool)> {
        FEATURES
            .iter()
            .filter(|_| self.chance(2))
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .map(|name| (name, self.chance(3)))
            .collect()
    }
}
