//! `standfast token`, with a tokens file of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use standfast::access::tokens_file::TokenVerdict;
use standfast::access::{BearerToken, Role, TokensFile};

fn standfast(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.current_dir(folder).env_remove("STANDFAST_CONFIG").arg("token").args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn create(folder: &Path, arguments: &[&str]) -> BearerToken {
    let made = standfast(folder, &[&["create", "--file", "tokens"], arguments].concat());
    assert!(made.status.success(), "{made:?}");
    let shown = text(&made.stdout);
    let token = BearerToken::parse(&shown).unwrap();
    assert_eq!(shown, format!("{}\n", token.reveal()), "alone on standard output");
    assert!(!text(&made.stderr).contains(&shown[15..]), "and nowhere else");
    token
}

#[test]
fn a_token_is_made_shown_once_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let token = create(folder.path(), &["--name", "ada", "--role", "operator", "--services", "shop,pay-*"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.starts_with("# id") && !written.contains(&token.reveal()[15..]), "{written}");
    fs::write(&path, format!("# of the team\n{written}")).unwrap();
    let other = create(folder.path(), &["--name", "ci", "--role", "drill", "--never"]);
    let read = || TokensFile::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(standfast::sys::clock::unix_millis());
    let file = read();
    let TokenVerdict::Good(entry) = file.verify(&token, now) else { panic!("{written}") };
    assert!(
        entry.name == "ada" && entry.grant.role == Role::Operator && entry.grant.services.to_string() == "shop,pay-*"
    );
    let days = entry.expires.unwrap().duration_since(now).unwrap().as_secs() / 86_400;
    assert!((89..=90).contains(&days), "{days}");
    assert!(matches!(file.verify(&other, now), TokenVerdict::Good(entry) if entry.expires.is_none()));
    let listed = text(&standfast(folder.path(), &["list", "--file", "tokens"]).stdout);
    assert!(listed.starts_with("ID") && listed.contains(token.id()) && listed.contains("never"), "{listed}");
    let revoked = standfast(folder.path(), &["revoke", token.id(), "--file", "tokens"]);
    assert!(revoked.status.success() && revoked.stdout.is_empty(), "{revoked:?}");
    assert_eq!(read().verify(&token, now), TokenVerdict::Unknown);
    assert!(matches!(read().verify(&other, now), TokenVerdict::Good(_)));
    assert!(fs::read_to_string(&path).unwrap().starts_with("# of the team\n"), "comments stay");
    let again = standfast(folder.path(), &["revoke", token.id(), "--file", "tokens"]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn the_file_is_that_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = "admin: {bind: '127.0.0.1:9901', tokens_file: of-the-config}\n\
         listeners: [{name: web, bind: '127.0.0.1:0', service: page}]\n\
         services: {page: {pools: [{name: page, static_response: {}}]}}\n";
    fs::write(folder.path().join("standfast.yaml"), config).unwrap();
    fs::write(folder.path().join("without.yaml"), config.replace(", tokens_file: of-the-config", "")).unwrap();
    let made = standfast(folder.path(), &["create", "--name", "ada", "--role", "viewer", "-c", "standfast.yaml"]);
    assert!(made.status.success() && folder.path().join("of-the-config").is_file(), "{made:?}");
    for arguments in [&["list", "-c", "without.yaml"][..], &["list", "-c", "none.yaml"], &["list", "--file", "none"]] {
        assert_eq!(standfast(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_is_wrong_is_refused_and_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let run = |arguments: &[&str]| standfast(folder.path(), &[arguments, &["--file", "tokens"]].concat());
    for arguments in [
        &["create", "--name", "a/d", "--role", "viewer"][..],
        &["create", "--name", "ada", "--role", "root"],
        &["create", "--name", "ada", "--role", "viewer", "--services", "sh*op"],
        &["create", "--name", "ada", "--role", "viewer", "--for", "0s"],
        &["create", "--name", "ada", "--role", "viewer", "--for", "1d", "--never"],
        &["create", "--role", "viewer"],
    ] {
        let refused = run(arguments);
        assert!(refused.status.code() == Some(2) && refused.stdout.is_empty(), "{arguments:?} {refused:?}");
    }
    assert!(!path.exists());
    fs::write(&path, "nonsense\n").unwrap();
    for arguments in [&["create", "--name", "ada", "--role", "viewer"][..], &["list"]] {
        let refused = run(arguments);
        assert!(refused.status.code() == Some(1) && text(&refused.stderr).contains("line 1: "), "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense\n");
}
