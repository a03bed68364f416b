//! Documents that killed processes of Open WebUI have left in Redis.

use roomcast_stores::shared::AbandonedDocuments;

use super::{World, block_on};

#[test]
fn what_a_crash_has_left_of_documents_is_removed_and_nothing_else() {
    let world = World::new();
    let put = |words: &str| drop(world.raw::<redis::Value>(&words.split(' ').collect::<Vec<_>>()));
    // Of two processes one was killed. The other has a document, and shares another one with the dead.
    put("HSET open-webui:session_pool live {}");
    for (document, sids) in [("note:old", "dead gone"), ("note:shared", "dead live"), ("note:live", "live")] {
        let key = |part: &str| format!("open-webui:ydoc:documents:{document}:{part}");
        put(&format!("SADD {} {sids}", key("users")));
        put(&format!("RPUSH {} [0,0]", key("updates")));
        put(&format!("SET {} 2", key("size")));
        for sid in sids.split(' ') {
            put(&format!("SADD open-webui:ydoc:documents:session:{sid}:documents {document}"));
        }
    }
    // One that is being saved, and one whose save has died; one that was opened and never changed.
    for (document, task) in [("note:saving", "t1"), ("note:unsaved", "t2")] {
        put(&format!("RPUSH open-webui:ydoc:documents:{document}:updates [0,0]"));
        put(&format!("SADD open-webui:tasks:item:{document} {task}"));
    }
    put("SET open-webui:tasks:t1 1");
    put("SADD open-webui:ydoc:documents:note:seen:users dead");
    // Another installation's, and roomcast's own.
    put("RPUSH other:ydoc:documents:note:old:updates [0,0]");
    put("RPUSH open-webui:roomcast:document:{note:old}:log x");

    let abandoned = AbandonedDocuments::new(world.keys.clone(), "open-webui");
    assert_eq!(block_on(abandoned.remove()), Ok(3));
    let mut keys: Vec<String> = world.raw(&["KEYS", "*"]);
    keys.sort();
    let expected = [
        "open-webui:roomcast:document:{note:old}:log",
        "open-webui:session_pool",
        "open-webui:tasks:item:note:saving",
        "open-webui:tasks:item:note:unsaved",
        "open-webui:tasks:t1",
        "open-webui:ydoc:documents:note:live:size",
        "open-webui:ydoc:documents:note:live:updates",
        "open-webui:ydoc:documents:note:live:users",
        "open-webui:ydoc:documents:note:saving:updates",
        "open-webui:ydoc:documents:note:shared:size",
        "open-webui:ydoc:documents:note:shared:updates",
        "open-webui:ydoc:documents:note:shared:users",
        "open-webui:ydoc:documents:session:live:documents",
        "other:ydoc:documents:note:old:updates",
    ];
    assert_eq!(keys, expected);
    let shared: Vec<String> = world.raw(&["SMEMBERS", "open-webui:ydoc:documents:note:shared:users"]);
    assert_eq!(shared, ["live"]);
    // Its save is done, and the rest has gone as well.
    put("DEL open-webui:tasks:t1 open-webui:session_pool");
    assert_eq!(block_on(abandoned.remove()), Ok(3));
    assert_eq!(world.raw::<Vec<String>>(&["KEYS", "open-webui:ydoc:*"]), Vec::<String>::new());
}
