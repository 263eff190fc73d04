//! The unix socket of the admin port: what may stand in its place, who may connect, and who is known by it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use standfast::{App, config};

use crate::support::exchange::ask_local;

fn start(folder: &Path, admin: &str) -> Result<App, String> {
    let text = format!(
        "admin: {{{admin}}}\nworkers: 1\nlisteners: [{{name: web, bind: '127.0.0.1:0', service: page}}]\n\
         services: {{page: {{pools: [{{name: page, static_response: {{}}}}]}}}}\n"
    );
    let config = config::parse(&text, folder).map_err(|problems| problems.explain(false))?.config;
    App::builder(config).start().map_err(|error| error.to_string())
}

fn stop(app: App) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(app.stop());
}

#[test]
fn the_socket_alone_serves_and_goes_with_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    for (keys, mode) in [("", 0o660), (", mode: \"0600\"", 0o600), (", mode: 0666, role: viewer", 0o666)] {
        let app = start(folder.path(), &format!("socket: {{path: admin.sock{keys}}}")).unwrap();
        assert_eq!((app.admin_address(), app.admin_socket()), (None, Some(path.as_path())));
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket() && found.mode() & 0o777 == mode, "{keys}");
        for page in ["/status", "/livez", "/metrics"] {
            assert_eq!(ask_local(&path, &format!("GET {page}")).code, 200, "{page}");
        }
        stop(app);
        assert!(!path.exists(), "{keys}");
    }
}

#[test]
fn its_users_are_known_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokens"), "").unwrap();
    let app = start(folder.path(), "bind: '127.0.0.1:0', tokens_file: tokens, socket: ./admin.sock").unwrap();
    let path = folder.path().join("admin.sock");
    assert_eq!(ask_local(&path, "GET /status").code, 200);
    assert_eq!(ask_local(&path, "GET /v1/nowhere").code, 404);
    assert_eq!(ask_local(&path, "POST /v1/acts").code, 415, "the rules for acts hold there too");
    stop(app);
}

#[test]
fn its_group_is_set_by_name_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let own = rustix::process::getegid().as_raw();
    let app = start(folder.path(), &format!("socket: {{path: admin.sock, group: {own}}}")).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().gid(), own);
    stop(app);
    let error = start(folder.path(), "socket: {path: admin.sock, group: no-such-group}").unwrap_err();
    assert!(error.contains("no group `no-such-group`") && !path.exists(), "{error}");
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let refused = || start(folder.path(), "socket: ./admin.sock").unwrap_err();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket that nothing listens on");
    let app = start(folder.path(), "socket: ./admin.sock").unwrap();
    assert_eq!(ask_local(&path, "GET /livez").code, 200);
    assert!(refused().contains("another process answers on this socket"), "{}", refused());
    assert_eq!(ask_local(&path, "GET /livez").code, 200, "the first instance still serves");
    // What took its place is not removed with it.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    stop(app);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert!(refused().contains("there is a file, and no socket"), "{}", refused());
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(refused().contains("there is a link, and no socket"), "{}", refused());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused().contains("there is a folder, and no socket"), "{}", refused());
}

#[test]
fn a_socket_that_somebody_listens_on_without_accepting_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let _full = UnixListener::bind(&path).unwrap();
    let waiting: Vec<_> = (0..8).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
    let error = start(folder.path(), "socket: ./admin.sock").unwrap_err();
    assert!(error.contains("another process answers"), "{error} {}", waiting.len());
}
