//! The house rules, applied to this workspace: which room may open a door to which, what must stand nowhere in a pure
//! crate, how long a file may be, what a crate may draw in.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use roomcast_layering::circles::circles;
use roomcast_layering::doors::{Floor, Neighbours, between_crates, upwards};
use roomcast_layering::names::shared_types;
use roomcast_layering::packages;
use roomcast_layering::shape::{long_file, long_functions, without_module_doc};
use roomcast_layering::source::SourceFile;
use roomcast_layering::words::{empty_docs, impurities, spoken, vague_comments, vague_lines, vague_script};
use roomcast_layering::workspace::{WorkspaceMember, members, root, scripts, sources, texts};

/// Types of several files whose name means the same in all of them.
const SAME_IN_ALL_PLACES: &[&str] = &[
    "Audit",
    "Auth",
    "Browser",
    "Client",
    "Conn",
    "CountingAllocator",
    "Crowd",
    "EventData",
    "EventEnvelope",
    "Fleet",
    "Folder",
    "Inner",
    "Node",
    "Object",
    "Output",
    "Outside",
    "Packet",
    "PacketError",
    "Peer",
    "Provider",
    "RandomOperation",
    "Reading",
    "Readme",
    "Room",
    "Running",
    "Secret",
    "Server",
    "Settings",
    "Stage",
    "State",
    "Step",
    "Store",
    "Stream",
    "TestKey",
    "There",
    "Transport",
    "World",
];

/// The rooms of `roomcast-core` from the ground up. A room may use the floors below its own.
const CORE: &[Floor] = &[
    (&["time", "id", "slab", "queue", "rng", "timer"], Neighbours::Meet),
    (&["http", "websocket"], Neighbours::Meet),
    (&["engine_io"], Neighbours::Meet),
    (&["socket_io"], Neighbours::Meet),
    (&["rooms", "cluster"], Neighbours::Strangers),
    (&["server", "client"], Neighbours::Strangers),
];

/// Macros at the root of `roomcast-core`; they belong to the ground floor.
const CORE_MACROS: &[&str] = &["slab_key"];

/// The crates from the ground up. A crate depends on the floors below its own.
const CRATES: &[&[&str]] = &[
    &["roomcast-time", "roomcast-layering", "roomcast-redis"],
    &["roomcast-core", "roomcast-auth", "roomcast-yjs"],
    &["roomcast-documents", "roomcast-testkit"],
    &["roomcast-openwebui"],
    &["roomcast-adapter"],
    &["roomcast-stores"],
    &["roomcast-tokio", "roomcast-async-std"],
    &["roomcast-server", "roomcast-conformance", "roomcast-purity", "roomcast-fuzz", "roomcast-benches"],
];

/// Crates that know the application: its protocol, its tables, its program, the crates that measure and check them, and
/// the crate of this list.
const APPLICATION_CRATES: &[&str] = &[
    "roomcast-openwebui",
    "roomcast-stores",
    "roomcast-server",
    "roomcast-benches",
    "roomcast-layering",
    "roomcast-purity",
];

/// Words of the application protocol.
const APPLICATION_WORDS: &[&str] = &[
    "channel:",
    "chat:",
    "doc_note",
    "events:",
    "join-channels",
    "join-note",
    "note:",
    "note-events",
    "open-webui",
    "open_webui",
    "session_pool",
    "usage_pool",
    "user-join",
    // Not `user:`, which is how a URL names a user.
    "user:{",
    "ydoc:",
];

/// A file is read as a whole or not at all.
const FILE_LINES_MAX: usize = 600;

/// A function fits on one screen.
const FUNCTION_LINES_MAX: usize = 70;

/// What Socket.IO on tokio may draw in, `roomcast-tokio` itself among it.
const TOKIO_PACKAGES_MAX: usize = 60;

#[test]
fn doors_inside_the_core_open_downwards() {
    let core = pure_members().into_iter().find(|member| member.name == "roomcast-core").unwrap();
    let faults = parsed(&core).into_iter().flat_map(|(path, source)| upwards(&path, &source, CORE, CORE_MACROS));
    assert_none(faults);
}

#[test]
fn crates_depend_downwards() {
    assert_none(between_crates(&members(&root()).unwrap(), CRATES));
}

#[test]
fn no_circle_of_files() {
    let circles_of = |member: WorkspaceMember| -> Vec<String> {
        let found = circles(&parsed(&member)).into_iter();
        found.map(|circle| format!("{}: {}", member.folder, circle.join(" "))).collect()
    };
    assert_none(members(&root()).unwrap().into_iter().flat_map(circles_of));
}

#[test]
fn a_pure_crate_has_no_clock_no_thread_and_no_socket() {
    assert_none(of_each(&pure_members(), impurities));
}

#[test]
fn a_pure_crate_depends_on_no_runtime() {
    for member in pure_members() {
        let tree = packages::tree(&root(), &member.name).unwrap();
        assert!(tree.starts_with(&format!("0{} v", member.name)), "not a tree: {tree}");
        assert_none(packages::runtimes(&tree).into_iter().map(|fault| format!("{}: {fault}", member.name)));
    }
}

#[test]
fn the_application_stays_in_its_crates() {
    let strangers: Vec<WorkspaceMember> = members(&root())
        .unwrap()
        .into_iter()
        .filter(|member| !APPLICATION_CRATES.contains(&member.name.as_str()))
        .collect();
    assert_none(of_each(&strangers, |path, source| spoken(path, source, APPLICATION_WORDS)));
}

#[test]
fn socket_io_on_tokio_stays_light() {
    let packages = packages::names(&packages::tree(&root(), "roomcast-tokio").unwrap());
    assert!(packages.len() <= TOKIO_PACKAGES_MAX, "{} packages: {packages:#?}", packages.len());
}

#[test]
fn a_published_crate_is_ready_for_a_registry() {
    let published: Vec<WorkspaceMember> =
        members(&root()).unwrap().into_iter().filter(WorkspaceMember::is_published).collect();
    assert!(published.len() >= 9, "{published:?}");
    let missing = published.iter().flat_map(|member| member.missing_for_a_registry(&root()));
    let versioned = published.iter().flat_map(WorkspaceMember::versioned_dev_dependencies);
    assert_none(missing.chain(versioned));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let files = sources(&root()).unwrap();
    let long = files.iter().filter_map(|(path, text)| long_file(path, text, FILE_LINES_MAX));
    let silent = files.iter().filter_map(|(path, text)| without_module_doc(path, text));
    assert_none(long.chain(silent));
}

#[test]
fn a_name_of_a_type_stands_for_one_thing() {
    let texts = texts(&root()).unwrap();
    let code = texts.iter().filter(|(path, _)| path.ends_with(".rs") && path != "conformance/layering/src/names.rs");
    let shared = shared_types(code.map(|(path, text)| (path.as_str(), text.as_str())));
    let shared = shared.iter().filter(|(name, _)| !SAME_IN_ALL_PLACES.contains(&name.as_str()));
    assert_none(shared.map(|(name, paths)| format!("{name} is declared in {}", paths.join(", "))));
}

#[test]
fn prose_is_plain() {
    let (documents, code): (Vec<_>, Vec<_>) =
        texts(&root()).unwrap().into_iter().partition(|(path, _)| path.ends_with(".md"));
    assert!(documents.len() >= 10 && code.len() >= 400, "{} and {}", documents.len(), code.len());
    // The file that lists the words.
    let code = code.iter().filter(|(path, _)| path != "conformance/layering/src/words.rs");
    let comments = code.flat_map(|(path, text)| [vague_comments(path, text), empty_docs(path, text)].concat());
    let lines = documents.iter().flat_map(|(path, text)| vague_lines(path, text));
    let scripts = scripts(&root()).unwrap();
    assert!(scripts.len() >= 60, "{}", scripts.len());
    let remarks = scripts.iter().flat_map(|(path, text)| vague_script(path, text));
    assert_none(comments.chain(lines).chain(remarks));
}

#[test]
fn functions_fit_on_one_screen() {
    let files = sources(&root()).unwrap();
    let long: Vec<String> =
        files.iter().flat_map(|(path, text)| long_functions(path, text, FUNCTION_LINES_MAX)).collect();
    assert_none(long);
}

/// The crates below `core/`.
fn pure_members() -> Vec<WorkspaceMember> {
    let members: Vec<WorkspaceMember> =
        members(&root()).unwrap().into_iter().filter(|member| member.folder.starts_with("core/")).collect();
    assert!(members.len() >= 5, "{members:?}");
    members
}

/// The files below a member's `src`, with their paths from there.
fn parsed(member: &WorkspaceMember) -> Vec<(String, SourceFile)> {
    let texts = sources(&root().join(&member.folder).join("src")).unwrap();
    assert!(!texts.is_empty(), "{} has sources", member.folder);
    texts.into_iter().map(|(path, text)| (path, SourceFile::parse(&text))).collect()
}

fn of_each(members: &[WorkspaceMember], check: impl Fn(&str, &SourceFile) -> Vec<String>) -> Vec<String> {
    let faults_of = |member: &WorkspaceMember| -> Vec<String> {
        let files = parsed(member).into_iter();
        files.flat_map(|(path, source)| check(&format!("{}/src/{path}", member.folder), &source)).collect()
    };
    members.iter().flat_map(faults_of).collect()
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
